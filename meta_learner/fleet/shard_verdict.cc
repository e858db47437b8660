#include "meta_learner/fleet/shard_verdict.h"

#include <algorithm>

#include <absl/strings/str_format.h>

namespace mentor::meta_learner {

Verdict Judge(const LearnerFacts& learner, const ShardFacts& shard, std::chrono::nanoseconds now) {
  const LearnerInfo& info = learner.info;
  if (!info.Computes(shard.arithmetic))
    return {.obstacle = Obstacle::kArithmetic, .missing = std::string(shard.arithmetic)};
  Verdict memory = JudgeMemory(info, shard.memory);
  if (memory.obstacle != Obstacle::kNone) return memory;
  for (const std::string& simulator : shard.simulators) {
    if (!learner.simulators.contains(simulator))
      return {.obstacle = Obstacle::kSimulator, .missing = simulator};
  }
  if (learner.draining) return {.obstacle = Obstacle::kDraining};
  if (learner.standing.InQuarantine(now)) return {.obstacle = Obstacle::kQuarantine};
  if (shard.tried.Has(info.name) && (!shard.may_repeat || now < shard.tried.again()))
    return {.obstacle = Obstacle::kTried};
  if (shard.answered.contains(info.name)) return {.obstacle = Obstacle::kAnswered};
  if (shard.is_suspect || learner.has_suspect) return {.obstacle = Obstacle::kSuspect};
  if (!HasRoom(learner, shard.memory)) return {.obstacle = Obstacle::kRoom};
  return {};
}

Verdict JudgeMemory(const LearnerInfo& learner, const shards::ShardMemory& shard) {
  const shards::LearnerMemory needed = learner.Of(shard);
  if (learner.Holds(needed)) return {};
  const bool of_device = learner.HoldsInProcess(needed);
  return {.obstacle = Obstacle::kMemory,
          .memory = {.of_device = of_device,
                     .needed = of_device ? needed.device_bytes
                                         : shards::kLearnerProcessBytes + needed.bytes,
                     .most = of_device ? learner.device_memory_bytes : learner.memory_bytes}};
}

bool HasRoom(const LearnerFacts& learner, const shards::ShardMemory& shard) {
  const shards::LearnerMemory more = learner.info.Of(shard);
  return learner.info.Holds({.bytes = learner.held.bytes + more.bytes,
                             .device_bytes = learner.held.device_bytes + more.device_bytes});
}

MemoryShortage ShortageOf(const std::vector<Verdict>& verdicts) {
  MemoryShortage process, device{.of_device = true};
  for (const Verdict& verdict : verdicts) {
    if (verdict.obstacle > Obstacle::kMemory) return {};
    if (verdict.obstacle != Obstacle::kMemory) continue;
    MemoryShortage* const shortage = verdict.memory.of_device ? &device : &process;
    shortage->needed = std::max(shortage->needed, verdict.memory.needed);
    shortage->most = std::max(shortage->most, verdict.memory.most);
  }
  // Report the device first: a learner that lacks only device memory is closest to what is needed.
  return device.needed > 0 ? device : process;
}

std::string MissingSimulator(const std::vector<Verdict>& verdicts) {
  std::string missing;
  for (const Verdict& verdict : verdicts) {
    if (verdict.obstacle > Obstacle::kDraining) return "";  // A draining learner helps no shard.
    if (verdict.obstacle == Obstacle::kSimulator) missing = verdict.missing;
  }
  return missing;
}

std::string RefusalOf(const Verdict& verdict) {
  switch (verdict.obstacle) {
    case Obstacle::kArithmetic:
      return absl::StrFormat("results come from '%s'", verdict.missing);
    case Obstacle::kMemory:
      return "needs more memory";
    case Obstacle::kSimulator:
      return absl::StrFormat("none of its actors offers simulator '%s'", verdict.missing);
    default:
      return "";
  }
}

std::string WaitingFor(const RunProgress& progress) {
  if (const MemoryShortage& memory = progress.memory; memory.needed > 0) {
    return absl::StrFormat(
        ": waiting for a learner with more memory: a shard needs %s%s, and the largest learner has "
        "%s; %s",
        Gigabytes(memory.needed), memory.of_device ? " of a device" : "", Gigabytes(memory.most),
        kNeedsMemory);
  }
  if (!progress.trouble.empty()) return ": computed again: " + progress.trouble;
  if (progress.learners > 0 && progress.actors == 0) return ": waiting for actors";
  if (!progress.missing_simulator.empty()) {
    return absl::StrFormat(
        ": waiting for actors that offer simulator '%s' "
        "(mentor-actor --simulator %s=...)",
        progress.missing_simulator, progress.missing_simulator);
  }
  if (progress.learners > 0) return "";
  if (progress.arithmetic.empty()) return ": waiting for learners";
  return ": waiting for learners of kind " + progress.arithmetic;
}

std::string Gigabytes(uint64_t bytes) {
  const auto count = static_cast<double>(bytes);
  return count < 5e7 ? absl::StrFormat("%.1f MB", count / 1e6)
                     : absl::StrFormat("%.1f GB", count / 1e9);
}

std::string Counted(uint64_t count, std::string_view noun) {
  return absl::StrFormat("%d %s%s", count, noun, count == 1 ? "" : "s");
}

}  // namespace mentor::meta_learner
