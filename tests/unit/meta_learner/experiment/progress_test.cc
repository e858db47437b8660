#include "meta_learner/experiment/progress.h"

#include <memory>

#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

using Clock = ProgressReporter::Clock;

// A store with one experiment, which runs by the test's own clock.
struct Fixture {
  void Advance(double seconds) {
    now += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }

  testing::TempFolder folder;
  std::unique_ptr<Store> store = OpenStore(folder.path()).value();
  Clock::time_point now;
  ProgressReporter progress{{.records = &store->records,
                             .experiment = testing::StartSmall(store.get(), "e").name(),
                             .outer_updates_total = 10,
                             .now = [this] { return now; }}};
};

TEST_CASE("progress: the time left follows from the last outer update, then from the evaluation",
          "[unit]") {
  Fixture fixture;
  ProgressReporter& progress = fixture.progress;
  CHECK(progress.Now({}).seconds_left() == -1);  // Still unknown.
  progress.SetTrained(4, 1000, /*seconds=*/2.5);
  CHECK(progress.Now({}).seconds_left() == Approx(6 * 2.5));
  progress.ExpectEvaluation(500);  // As many steps as two updates had.
  CHECK(progress.Now({}).seconds_left() == Approx((6 + 2) * 2.5));
  CHECK(progress.Now({}).outer_updates() == 4);
  CHECK(progress.Now({}).outer_updates_total() == 10);
  progress.SetTrained(10, 5000, 2.5);
  CHECK(progress.Now({}).seconds_left() == -1);

  progress.BeginEvaluation(100);
  // 40 are done, 30 of them by an earlier process: 10 in 5 seconds, 60 to go.
  *progress.evaluated() = {.done = 40, .skipped = 30};
  fixture.Advance(5);
  CHECK(progress.Now({}).seconds_left() == Approx(30));
  CHECK(progress.Now({}).evaluation_lifetimes() == 40);
  CHECK(progress.Now({}).evaluation_lifetimes_total() == 100);
}

TEST_CASE("progress: the rate is over the steps of the last seconds", "[unit]") {
  Fixture fixture;
  ProgressReporter& progress = fixture.progress;
  // An earlier process made these updates.
  progress.SetTrained(1, 1000, /*seconds=*/0);
  fixture.Advance(2);
  CHECK(progress.Now({.env_steps = 300}).env_steps_per_second() == 150);
  CHECK(progress.Now({.env_steps = 300}).env_steps() == 1300);
  // Too soon for another look.
  fixture.Advance(0.25);
  CHECK(progress.Now({.env_steps = 900}).env_steps_per_second() == 150);
  fixture.Advance(0.75);
  CHECK(progress.Now({.env_steps = 900}).env_steps_per_second() == 300);
  // At 8 s the rate counts from the look at 3 s.
  fixture.Advance(5);
  CHECK(progress.Now({.env_steps = 1400}).env_steps_per_second() == 100);
  // Nothing new: the same steps, over a longer time.
  fixture.Advance(5);
  CHECK(progress.Now({.env_steps = 1400}).env_steps_per_second() == 50);
  // A shard that begins again repeats earlier steps.
  CHECK(progress.Now({.env_steps = 10}).env_steps_per_second() == 50);
}

TEST_CASE("progress: rounds that end between two looks have a rate", "[unit]") {
  Fixture fixture;
  ProgressReporter& progress = fixture.progress;
  for (uint32_t update = 1; update <= 20; ++update) {
    fixture.Advance(0.3);
    // The count of running shards begins at 0 in each round.
    progress.SetSteps(update * 600);
    progress.Report("meta-training", {});
    progress.SetTrained(update, update * 600, /*seconds=*/0.3);
    progress.Report("meta-training", {});
  }
  CHECK(progress.Now({}).env_steps_per_second() == Approx(2000));
  // As many steps, seen in two looks; each look sees less than the last one before.
  fixture.Advance(0.6);
  CHECK(progress.Now({.env_steps = 1200}).env_steps_per_second() == Approx(2000));

  progress.SetTrained(21, 20 * 600 + 1200, /*seconds=*/0.6);
  progress.BeginEvaluation(100);
  for (uint32_t call = 1; call <= 20; ++call) {
    fixture.Advance(0.3);
    progress.evaluated()->env_steps += 1500;
    progress.Report("evaluating", {});
  }
  CHECK(progress.Now({}).env_steps_per_second() == Approx(5000).epsilon(0.05));
}

TEST_CASE("progress: while nobody works there is no rate and no time left", "[unit]") {
  Fixture fixture;
  ProgressReporter& progress = fixture.progress;
  progress.SetTrained(4, 0, /*seconds=*/2.5);
  fixture.Advance(2);
  progress.ReportWork("meta-training", {.env_steps = 300, .learners = 1, .actors = 1});
  CHECK(progress.Now({.env_steps = 300}).env_steps_per_second() == 150);
  progress.ReportWork("meta-training", {.env_steps = 300, .learners = 1});
  CHECK(progress.Now({.env_steps = 300}).env_steps_per_second() == 0);
  CHECK(progress.Now({.env_steps = 300}).seconds_left() == -1);
  progress.ReportWork("meta-training", {.env_steps = 300, .learners = 1, .actors = 1});
  CHECK(progress.Now({.env_steps = 300}).seconds_left() == Approx(6 * 2.5));
}

TEST_CASE("progress: the store hears what is done, and who is waited for", "[unit]") {
  Fixture fixture;
  fixture.progress.SetTrained(3, 700, 1);
  const auto activity = [&] { return fixture.store->records.Get("experiments/e")->activity(); };
  fixture.progress.Report("outer update", {});
  CHECK(activity() == "outer update");
  CHECK(fixture.store->records.Get("experiments/e")->progress().outer_updates() == 3);
  fixture.progress.ReportWork("meta-training", {});
  CHECK(activity() == "meta-training: waiting for learners");
  fixture.progress.ReportWork("meta-training", {.learners = 1});
  CHECK(activity() == "meta-training: waiting for actors");
  fixture.progress.ReportWork("meta-training", {.learners = 1, .actors = 2});
  CHECK(activity() == "meta-training");
}

}  // namespace mentor::meta_learner::TEST_FILE
