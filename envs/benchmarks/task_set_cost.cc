#include "envs/benchmarks/task_set_cost.h"

#include <algorithm>
#include <limits>

#include <absl/strings/str_format.h>

namespace mentor::envs {
namespace {

constexpr uint64_t kGreatest = std::numeric_limits<uint64_t>::max();

uint64_t Plus(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? kGreatest : sum;
}

uint64_t Times(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kGreatest : product;
}

// Messages hold their lists, so what they take is more than what they are long on the wire.
uint64_t SettingBytes(const google::protobuf::RepeatedPtrField<v1::Option>& options,
                      const google::protobuf::RepeatedPtrField<v1::WrapperSpec>& wrappers) {
  return Plus(options.SpaceUsedExcludingSelfLong(), wrappers.SpaceUsedExcludingSelfLong());
}

}  // namespace

TaskSetCost CostOf(const v1::BenchmarkSpec& spec) {
  const uint64_t shared_bytes = SettingBytes({}, spec.wrapper());
  const auto shared_wrappers = static_cast<uint64_t>(spec.wrapper_size());
  TaskSetCost cost;
  for (const v1::TaskSetSpec& set : spec.task_set()) {
    const bool from_ranges = !set.range().empty();
    const uint64_t tasks =
        std::max<uint64_t>({1, set.goals(), static_cast<uint64_t>(set.task_size())});
    const uint64_t wrappers = Plus(shared_wrappers, static_cast<uint64_t>(set.wrapper_size()));
    cost.tasks = Plus(cost.tasks, tasks);
    cost.draws = Plus(cost.draws, kDrawsOfSet);
    cost.draws = Plus(cost.draws, Times(wrappers, kDrawsOfWrapper));
    cost.draws = Plus(cost.draws, Times(tasks, from_ranges ? kDrawsOfRangeGoal : 1));
    // Each end of a range is tried too.
    cost.draws = Plus(cost.draws, Times(static_cast<uint64_t>(set.range_size()), 400));
    cost.setting_bytes =
        Plus(cost.setting_bytes, Plus(shared_bytes, SettingBytes(set.option(), set.wrapper())));
  }
  return cost;
}

// A goal costs probes / accepted draws, where kDrawsOfSet + goals * kDrawsOfRangeGoal were
// reckoned.
uint64_t RangeGoalsMax(uint64_t accepted, uint64_t probes) {
  const uint64_t reckoned = accepted * kDrawsOfRangeGoal;
  return probes <= reckoned ? kGreatest : accepted * kDrawsOfSet / (probes - reckoned);
}

bool CheckCost(const v1::BenchmarkSpec& spec, Violations* violations) {
  const TaskSetCost cost = CostOf(spec);
  const auto refuse = [&](const std::string& what) {
    violations->Add("benchmark.task_set",
                    absl::StrFormat("has %d sets with %s", spec.task_set_size(), what));
    return false;
  };
  if (cost.tasks > kTasksMax) {
    return refuse(
        absl::StrFormat("%d tasks together; at most %d are allowed: give fewer sets or "
                        "fewer goals, or none to draw a fresh one for each lifetime",
                        cost.tasks, kTasksMax));
  }
  if (cost.draws > kDrawsMax) {
    return refuse(absl::StrFormat(
        "%d tasks together, which cost %d draws; at most %d are allowed, where a set counts %d, a "
        "wrapper of one %d, a goal 1, from ranges %d: give fewer sets or fewer goals",
        cost.tasks, cost.draws, kDrawsMax, kDrawsOfSet, kDrawsOfWrapper, kDrawsOfRangeGoal));
  }
  if (cost.setting_bytes > kSettingBytesMax) {
    return refuse(
        absl::StrFormat("options and wrappers that take %d bytes, as each set has those "
                        "of the benchmark too; at most %d are allowed: give fewer",
                        cost.setting_bytes, kSettingBytesMax));
  }
  return true;
}

}  // namespace mentor::envs
