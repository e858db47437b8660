// Runs with made-up numbers, for tests of comparisons.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/evaluation_method.h"
#include "mentor/report/comparison.h"

namespace mentor::testing {

// Two inner iterations of two episodes; only the last two succeed, or none.
inline report::EvaluationRow Row(const std::string& method, uint64_t seed, uint32_t lifetime,
                                 std::vector<double> success,
                                 const std::string& environment = "reach") {
  report::EvaluationRow row;
  row.method = MethodNamed(method).value();
  row.split = "test";
  row.environment = environment;
  row.lifetime = lifetime;
  row.goal = lifetime;
  row.seed = seed;
  row.lifetime_episodes = 4;
  row.segment_episodes = {2, 2};
  row.episode_return = {1, 2, 3, 4};
  row.episode_success = std::move(success);
  return row;
}

inline report::ComparedRun Run(const std::string& title, uint64_t seed, double late) {
  report::ComparedRun run{.name = title + "-" + std::to_string(seed), .data = {}};
  run.data.title = title;
  run.data.iterations = 2;
  run.data.spec_text = "seed: " + std::to_string(seed);
  run.data.identity.method = title;
  run.data.identity.protocol = "one";
  run.data.identity.rule = "black_box";
  run.data.identity.seed = seed;
  run.data.identity.state_hash = "0123456789abcdef0123";
  run.data.identity.iteration_steps = 100;
  run.data.identity.baseline_iteration_steps = 50;
  run.data.metrics = {{.name = "grad_norm",
                       .label = "norm of <it>",
                       .panel = MetricInfo::Panel::kCompared,
                       .log_scale = true},
                      {.name = "seg*", .panel = MetricInfo::Panel::kNone}};
  for (uint32_t i = 1; i <= 3; ++i) {
    report::TrainingPoint point;
    point.outer_update = i;
    point.env_steps = 1000 * i;
    point.metrics = {{"seg0", 0.0},          {"seg1", 0.1 * i},
                     {"wall_seconds", 2.0},  {"rollout_seconds", 1.0},
                     {"grad_norm", 0.5},     {"peak_memory_bytes", 1 << 20},
                     {"outer_seconds", 0.25}};
    run.data.training.push_back(point);
  }
  for (const uint64_t agents : {1, 2, 3}) {
    for (const uint32_t lifetime : {0u, 1u}) {
      run.data.evaluation.push_back(Row("learned", agents, lifetime, {0, 0, 1, late}));
      run.data.evaluation.push_back(Row("PPO sparse", agents, lifetime, {0, 0, 0, 0}));
      run.data.evaluation.push_back(Row("random signal", agents, lifetime, {0, 0, 0, 1}));
    }
  }
  return run;
}

}  // namespace mentor::testing
