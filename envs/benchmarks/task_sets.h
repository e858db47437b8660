// The tasks of any environment: written out, drawn from ranges, or from the environment's own
// distribution. Benchmarks `single` and `custom` consist of them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "envs/benchmark.h"

namespace mentor::envs {

// The environment of a set in its wrappers, those of the benchmark last, without a task. Null, with
// violations at the fields below `path` (of the set: "benchmark.task_set[2]") and below
// "benchmark.wrapper", when it cannot be made.
std::unique_ptr<Environment> MakeEnvironmentOf(const v1::TaskSetSpec& set, const std::string& path,
                                               const v1::BenchmarkSpec& benchmark,
                                               Violations* violations);

struct MadeTaskSet {
  TaskSet tasks;
  EnvironmentInfo info;  // The environment in its wrappers.
};

// A set with every task checked by its environment. `number` distinguishes the sets of a benchmark:
// equal ranges give different goals in each. Nothing, with violations as above, when a task is
// refused.
std::optional<MadeTaskSet> MakeTaskSet(const v1::TaskSetSpec& set, const std::string& path,
                                       uint32_t number, const v1::BenchmarkSpec& benchmark,
                                       Violations* violations);

}  // namespace mentor::envs
