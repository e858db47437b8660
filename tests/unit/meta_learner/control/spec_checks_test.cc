// The memory of checked specs.
#include "meta_learner/control/spec_checks.h"

#include <string>

#include "tests/testing.h"

namespace mentor::meta_learner {
namespace {

TEST_CASE("spec checks: a valid spec is checked once, whatever its seed, title and checkpoints",
          "[unit]") {
  int checked = 0;
  const SpecCheck check =
      RememberValid([&](const v1::ExperimentSpec& spec, Violations* violations) {
        ++checked;
        if (spec.agent().hidden_units() == 13) violations->Add("agent.hidden_units", "is 13");
      });
  const auto violations = [&](const v1::ExperimentSpec& spec) {
    Violations found;
    check(spec, &found);
    return found.list().size();
  };
  v1::ExperimentSpec spec;
  CHECK(violations(spec) == 0);
  spec.set_seed(7);
  spec.set_display_name("another one");
  spec.mutable_checkpoint()->set_keep_last(7);
  CHECK(violations(spec) == 0);
  CHECK(checked == 1);
  spec.mutable_rule()->set_outer_updates(3);
  CHECK(violations(spec) == 0);
  CHECK(checked == 2);
  // A wrong spec is checked again.
  spec.mutable_agent()->set_hidden_units(13);
  CHECK(violations(spec) == 1);
  CHECK(violations(spec) == 1);
  CHECK(checked == 4);
}

TEST_CASE("spec checks: the oldest of many is forgotten", "[unit]") {
  constexpr int kRemembered = 1024;
  SpecCache<int> cache;
  CHECK_FALSE(cache.Find("0").has_value());
  for (int i = 0; i < kRemembered; ++i) cache.Add(std::to_string(i), i);
  cache.Add("0", -1);  // It is known already.
  CHECK(cache.Find("0") == 0);
  CHECK(cache.Find("1023") == 1023);
  cache.Add("one more", 7);
  CHECK_FALSE(cache.Find("0").has_value());
  CHECK(cache.Find("1") == 1);
  CHECK(cache.Find("one more") == 7);
}

}  // namespace
}  // namespace mentor::meta_learner
