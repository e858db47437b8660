// The cost of the tasks that a spec writes out or draws. Computed from its sizes alone, before any
// task is made. Does not check whether tasks fit their environments (task_sets.h). Pure; threads
// may share.
#pragma once

#include <cstdint>

#include "common/violations.h"
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

}  // namespace mentor::envs
