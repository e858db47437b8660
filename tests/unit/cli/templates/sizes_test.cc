// Sizes of new specs: whole for every length of an episode.
#include "cli/templates/sizes.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "cli/templates/embedded.h"
#include "tests/testing.h"

namespace mentor::templates::TEST_FILE {

int Number(const Places& places, const std::string& name) {
  int number = 0;
  INFO(name << ": " << places.at(name));
  CHECK(absl::SimpleAtoi(places.at(name), &number));
  return number;
}

TEST_CASE("sizes: segments hold whole episodes, and minibatches divide them") {
  for (int m = 1; m <= 3000; m += m < 300 ? 1 : 37) {
    const Places places = SizesFor({.episode_steps = m});
    INFO("episodes of " << m << " steps");
    const int steps = Number(places, "steps"), minibatches = Number(places, "minibatches");
    CHECK(steps >= 100);
    CHECK(steps == m * Number(places, "episodes"));
    CHECK(steps % minibatches == 0);
    CHECK(Number(places, "minibatch_steps") == steps / minibatches);
    // Two pieces at least in what is trained, and eight epochs that differ.
    CHECK(Number(places, "trained_steps") >= 2 * Number(places, "k"));
    CHECK(Number(places, "k") >= 8);
    CHECK(Number(places, "lifetimes_per_update") >= 16);
  }
}

TEST_CASE("sizes: every place of the shared part has a value") {
  for (const bool success : {false, true}) {
    for (const int goals : {0, 7}) {
      const Places places = SizesFor(
          {.episode_steps = 10, .draws_tasks = success, .has_success = success, .goals = goals});
      const std::string text = Fill(kLearning, places);
      CHECK(text.find("{{") == text.npos);
      CHECK((text.find("input: SUCCESS") != text.npos) == success);
    }
  }
}

}  // namespace mentor::templates::TEST_FILE
