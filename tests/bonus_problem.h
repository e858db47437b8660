// Bonuses with given settings and weights, and steps of golden files, for tests.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bonuses/bonus.h"
#include "tests/torch_testing.h"

namespace mentor::testing {

// The settings of a bonus, as a spec has them.
inline v1::EvaluationSpec BonusSettings(const std::string& name,
                                        const std::map<std::string, std::string>& options) {
  v1::EvaluationSpec spec;
  v1::BonusSpec& bonus = *spec.add_bonus();
  bonus.set_name(name);
  for (const auto& [key, value] : options) {
    v1::Option& option = *bonus.add_option();
    option.set_name(key);
    option.set_value(value);
  }
  return spec;
}

inline std::unique_ptr<bonuses::Bonus> MakeBonus(const std::string& name,
                                                 const bonuses::StepSizes& sizes,
                                                 const std::map<std::string, std::string>& options,
                                                 const RandomStream& stream = {}) {
  const bonuses::BonusEntry* entry = bonuses::FindBonus(name);
  REQUIRE(entry != nullptr);
  Violations violations;
  const OptionValues values =
      bonuses::SettingsOf(*entry, BonusSettings(name, options), &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(violations.empty());
  return entry->make(sizes, values, stream);
}

// Steps begin, begin + 1, ... of longer ones.
inline bonuses::Steps PartOf(const bonuses::Steps& steps, const bonuses::StepSizes& sizes,
                             int64_t begin, int64_t count) {
  const auto part = [&](const auto& from, int64_t width) {
    return std::decay_t<decltype(from)>(from.begin() + begin * width,
                                        from.begin() + (begin + count) * width);
  };
  return {.observations = part(steps.observations, sizes.observation),
          .actions = part(steps.actions, sizes.action),
          .next_observations = part(steps.next_observations, sizes.observation),
          .known = part(steps.known, 1)};
}

// Rewards of all steps, in segments of equal length, each of which is learned from.
inline std::vector<double> RewardsOf(bonuses::Bonus& bonus, const bonuses::Steps& steps,
                                     const bonuses::StepSizes& sizes, int64_t segments) {
  std::vector<double> all;
  const int64_t count = steps.count() / segments;
  for (int64_t k = 0; k < segments; ++k) {
    const bonuses::Steps part = PartOf(steps, sizes, k * count, count);
    std::vector<double> own(count);
    bonus.Reward(part, own);
    bonus.Learn(part);
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

}  // namespace mentor::testing
