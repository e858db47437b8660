// What Meta-World's benchmarks share: lists of environments with 50 goals each, drawn as the Python
// package draws them for every seed (docs/metaworld.md#goals). Functions without state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "envs/benchmark.h"

namespace mentor::envs {

struct MetaWorldBenchmark {
  // Environments in the order of their goals; none: the spec names the one of both splits.
  std::vector<std::string_view> train = {}, test = {};
  // The seed of the test goals is spec.goal_seed plus this. Each split has its own generator.
  uint32_t test_seed_offset = 0;
  // Multi-task: goals are shown, and the option one_hot appends the environment's number.
  bool multi_task = false;
  bool one_hot_by_default = false;
};

BenchmarkEntry MetaWorldEntry(std::string name, std::string summary, MetaWorldBenchmark benchmark);

// Training environments of ML45.
const std::vector<std::string_view>& Ml45Train();

}  // namespace mentor::envs
