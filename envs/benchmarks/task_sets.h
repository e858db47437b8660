// The tasks of any environment: written out, drawn from ranges, or from the environment's own
// distribution. Benchmarks `single` and `custom` consist of them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/violations.h"
#include "envs/benchmark.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::envs {

// Limits on all sets of a benchmark together. Fifty sets with the most goals of a set, 10,000, stay
// below.
inline constexpr uint64_t kTasksMax = 1'000'000;
inline constexpr uint64_t kDrawsMax = 10'000'000;
inline constexpr uint64_t kSettingBytesMax = 64 << 20;
// Costs in draws. A set keeps its environment in memory (0.2 MB with MuJoCo). A wrapper costs one
// of it. A goal from ranges may be refused by the environment most of the time.
inline constexpr uint64_t kDrawsOfSet = 10'000;
inline constexpr uint64_t kDrawsOfWrapper = 200;
inline constexpr uint64_t kDrawsOfRangeGoal = 10;

// Sums over spec.task_set; a sum that no longer fits is the greatest number.
struct TaskSetCost {
  uint64_t tasks = 0;
  uint64_t draws = 0;          // Less than half a microsecond each.
  uint64_t setting_bytes = 0;  // Options and wrappers, which every set has for itself.
};
TaskSetCost CostOf(const v1::BenchmarkSpec& spec);

// The most goals of a set whose ranges gave `accepted` tasks in `probes`: more would cost more
// draws than were reckoned. accepted > 0.
uint64_t RangeGoalsMax(uint64_t accepted, uint64_t probes);

// False, with violations at "benchmark.task_set", when it is more than the limits above.
bool CheckCost(const v1::BenchmarkSpec& spec, Violations* violations);

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
