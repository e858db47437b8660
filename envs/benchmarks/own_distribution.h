// A benchmark of one registered environment, with the environment's own distribution of tasks.
// Immutable once made; threads may share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "envs/benchmark.h"

namespace mentor::envs {

enum class TaskSupply { kDrawnAfresh, kOneForAll };

// Options of the spec go to the environment; violations are found under "benchmark.option".
std::unique_ptr<Benchmark> MakeOwnDistribution(const std::string& environment, TaskSupply supply,
                                               const v1::BenchmarkSpec& spec,
                                               Violations* violations);

}  // namespace mentor::envs
