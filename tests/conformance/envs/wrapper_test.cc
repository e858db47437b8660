// The conformance suite over wrappers: an environment in wrappers must do what every environment
// does. A wrapper that registers itself must be named here with settings that make it work.
#include <set>
#include <utility>

#include "tests/conformance/envs/environment_checks.h"

namespace mentor::envs::testing {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

v1::WrapperSpec Spec(const std::string& name, const Settings& settings = {}) {
  v1::WrapperSpec spec;
  spec.set_name(name);
  for (const auto& [option, value] : settings) {
    v1::Option* set = spec.add_option();
    set->set_name(option);
    set->set_value(value);
  }
  return spec;
}

const Settings kPhysics = {{"mass_low", "0.7"},    {"mass_high", "1.5"},   {"friction_low", "0.5"},
                           {"friction_high", "2"}, {"damping_low", "0.5"}, {"damping_high", "2"},
                           {"gain_low", "0.8"},    {"gain_high", "1.2"}};

Variant In(const char* environment, const std::vector<v1::WrapperSpec>& wrappers) {
  const EnvironmentEntry* entry = FindEnvironment(environment);
  INFO(environment);
  REQUIRE(entry != nullptr);
  return {entry, {}, WrapperList(wrappers.begin(), wrappers.end())};
}

std::vector<Variant> WrapperVariants() {
  const v1::WrapperSpec latency =
      Spec("domain_randomization", {{"latency_min", "1"}, {"latency_max", "4"}});
  Settings logarithmic = kPhysics;
  logarithmic.insert(logarithmic.end(), {{"distribution", "log_uniform"}, {"latency_max", "2"}});
  std::vector<Variant> variants;
  // Fixed and early ends, one action number and more, drawn tasks and none.
  for (const char* environment :
       {"point_reach", "umbrella_length", "maze", "contextual_bandit", "door-close-v3"}) {
    variants.push_back(In(environment, {latency}));
    variants.push_back(In(environment, {Spec("one_hot_task", {{"index", "2"}, {"count", "5"}})}));
    variants.push_back(In(environment, {Spec("reward_delay", {{"steps", "3"}})}));
    variants.push_back(In(environment, {Spec("rl2_observation")}));
    variants.push_back(In(environment, {Spec("sparse_reward", {{"shaped", "0.5"}})}));
    variants.push_back(In(environment, {Spec("time_feature")}));
  }
  for (const char* environment : {"door-close-v3", "push-v3", "Hopper-v5", "Humanoid-v5"}) {
    variants.push_back(In(environment, {Spec("domain_randomization", kPhysics)}));
    variants.push_back(In(environment, {Spec("domain_randomization", logarithmic)}));
  }
  // Several, innermost first.
  for (const char* environment : {"push-v3", "Walker2d-v5"}) {
    variants.push_back(
        In(environment, {Spec("domain_randomization", logarithmic), Spec("reward_delay"),
                         Spec("rl2_observation"), Spec("time_feature"), latency}));
  }
  return variants;
}

TEST_CASE("wrappers: each one is tested here", "[conformance]") {
  std::set<std::string> tested, registered;
  for (const Variant& variant : WrapperVariants()) {
    for (const v1::WrapperSpec& wrapper : variant.wrappers) tested.insert(wrapper.name());
  }
  for (const WrapperEntry* entry : Wrappers()) registered.insert(entry->name);
  CHECK(tested == registered);
}

TEST_CASE("wrappers: shapes, finite numbers, episodes of the promised length", "[conformance]") {
  for (const Variant& variant : WrapperVariants()) CheckShapes(variant);
}

TEST_CASE("wrappers: the same episode has the same bits, fresh or after others, and in threads",
          "[conformance]") {
  for (const Variant& variant : WrapperVariants()) CheckSameBits(variant);
}

TEST_CASE("wrappers: a saved state goes on bit for bit in a fresh and in a used instance",
          "[conformance]") {
  for (const Variant& variant : WrapperVariants()) CheckSavedStates(variant);
}

TEST_CASE("wrappers: bad calls are refused and leave the episode as it was", "[conformance]") {
  for (const Variant& variant : WrapperVariants()) CheckBadCalls(variant);
}

TEST_CASE("wrappers: states that are cut, altered or foreign are refused", "[conformance]") {
  const std::vector<Variant> variants = WrapperVariants();
  for (size_t v = 0; v < variants.size(); ++v) CheckBadStates(variants, v);
}

}  // namespace
}  // namespace mentor::envs::testing
