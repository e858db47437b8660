// The memory of checked specs.
#include "meta_learner/control/spec_checks.h"

#include <optional>

#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

TEST_CASE("spec checks: a valid spec is checked once, whatever its seed, title and checkpoints",
          "[unit]") {
  int checked = 0;
  SpecCache<int> cache(
      [&](const v1::ExperimentSpec& spec, Violations* violations) -> std::optional<int> {
        ++checked;
        if (spec.agent().hidden_units() != 13) return checked;
        violations->Add("agent.hidden_units", "is 13");
        return std::nullopt;
      });
  const auto violations = [&](const v1::ExperimentSpec& spec) {
    Violations found;
    cache.Get(spec, &found);
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
  constexpr uint32_t kRemembered = 1024;
  uint32_t checked = 0;
  SpecCache<uint32_t> cache([&](const v1::ExperimentSpec& spec, Violations*) {
    ++checked;
    return std::optional(spec.rule().outer_updates());
  });
  Violations none;
  const auto found = [&](uint32_t updates) {
    v1::ExperimentSpec spec;
    spec.mutable_rule()->set_outer_updates(updates);
    return cache.Get(spec, &none);
  };
  for (uint32_t i = 0; i < kRemembered; ++i) CHECK(found(i) == i);
  CHECK(found(0) == 0u);
  CHECK(checked == kRemembered);
  CHECK(found(kRemembered) == kRemembered);
  CHECK(found(1) == 1u);
  CHECK(checked == kRemembered + 1);
  CHECK(found(0) == 0u);
  CHECK(checked == kRemembered + 2);
}

}  // namespace mentor::meta_learner::TEST_FILE
