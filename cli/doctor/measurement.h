// What `mentor doctor` measures of a spec, as numbers alone; findings.h judges them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/report/statistics.h"

namespace mentor::doctor {

inline constexpr double kLeastOfSuccess = 0.01;
// A return's least is this share of its deviation, a small effect (Cohen, 1988). A bound of 0 would
// be passed by any drift, given enough samples.
inline constexpr double kLeastOfDeviation = 0.2;

// A mean over agents in the first and in the last part of their lifetimes. It moves where the whole
// interval of its change is `least` or more away from 0. Reports judge so, too.
struct Change {
  double first = 0, last = 0;
  report::Interval change = {};  // 95 %, by goal and lifetime.
  double least = 0;              // A smaller change does not count, however certain.
  bool rises() const { return change.low > 0 && change.low >= least; }
  bool falls() const { return change.high < 0 && change.high <= -least; }
  const char* word() const { return rises() ? "rises" : falls() ? "falls" : "does not move"; }
};

// Agents of PPO on one reward.
struct Learning {
  uint32_t iterations = 0;  // A lifetime's.
  int lifetimes = 0;
  Change success = {};  // Share of the episodes of the first and of the last inner iteration.
  Change returns = {};  // Their shaped returns.
  int episodes = 0;     // All iterations count.
  int successes = 0;
  // Mean shaped returns of episodes that succeeded and of those that did not, the standard error
  // of the difference, and the deviation of an episode; absent below five of each.
  struct Returns {
    double succeeded = 0, failed = 0, error = 0, deviation = 0;
  };
  std::optional<Returns> returns_by_success = {};
};

// Random actions as newborn agents draw them.
struct RandomAgents {
  int steps = 0, episodes = 0, successes = 0;
  std::vector<double> observation_mean = {}, observation_deviation = {};  // [D]
  double reward_mean = 0, reward_deviation = 0;
  double reward_zero = 0;  // Share of steps whose reward is 0.
  std::string error = {};  // Why it ended early; empty: it did not.
};

struct Measured {
  // The spec's own numbers.
  uint32_t iterations = 0, steps_per_iteration = 0, minibatches = 0;
  int episode_steps = 0;
  bool agent_normalizes = false;  // agent.normalize_observations
  bool success_alone = false;     // The outer rule maximises success and sees no shaped reward.
  bool reports_success = true;    // Some training environment may report it.
  bool inner_updates = true;      // The rule's agents learn within their lifetimes,
  bool task_rewards = true;       // and they, or the rule, from the task's rewards.
  bool sees_ahead = true;         // agent.gamma is above 0.
  bool diverged = false;          // An agent's policy gave a number that is not finite.
  std::vector<std::string> warnings = {};  // What --check says.

  RandomAgents random = {};
  std::optional<Learning> sparse = {}, shaped = {};
  std::vector<Learning> longer = {};        // On the shaped reward, with more iterations.
  std::optional<Learning> normalized = {};  // On the shaped reward, with normalised observations.
};

}  // namespace mentor::doctor
