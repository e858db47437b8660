#include "meta_learner/experiment/spec_memory.h"

#include <algorithm>

#include "common/spec/spec.h"
#include "learner/inner_loops/inner_loop.h"
#include "meta_learner/experiment/parts.h"
#include "meta_learner/experiment/shards.h"

namespace mentor::meta_learner {
namespace {

// A meta-learner that works on nothing: LibTorch, MuJoCo, gRPC and the models of its environments.
constexpr double kProcessBytes = 320 << 20;
constexpr double kMargin = 1.2;
constexpr double kNumberBytes = 4;

v1::Shard ShardOf(const v1::ExperimentSpec& spec, const envs::Benchmark& benchmark,
                  uint32_t lifetimes) {
  v1::Shard shard;
  *shard.mutable_spec() = spec;
  *shard.mutable_shape() = ShapeOf(benchmark);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  *shard.mutable_inner_loop() = InnerLoopOf(spec.rule());
  shard.set_collections(
      static_cast<uint32_t>(learner::FindInnerLoop(shard.inner_loop().name())->collections));
  shard.set_iterations(spec.lifetime().iterations());
  for (uint32_t i = 0; i < lifetimes; ++i) shard.add_lifetimes();
  return shard;
}

// The same lifetimes as the sparse baseline of an evaluation.
v1::Shard BaselineOf(v1::Shard shard) {
  shard.set_reward_source(v1::REWARD_SOURCE_SPARSE);
  shard.mutable_inner_loop()->Clear();
  shard.mutable_inner_loop()->set_name("ppo");
  shard.set_collections(1);
  shard.set_outcomes_only(true);
  shard.set_return_snapshot(false);
  shard.set_deterministic_episodes(shard.spec().evaluation().deterministic_episodes());
  return shard;
}

learner::ShardMemory Larger(const learner::ShardMemory& a, const learner::ShardMemory& b) {
  return {std::max(a.bytes, b.bytes), std::max(a.bytes_per_thread, b.bytes_per_thread),
          std::max(a.device_bytes, b.device_bytes)};
}

// What the results of one outer update take, and the rule.
double MetaLearnerBytes(const v1::Shard& shard, const RuleNeeds& needs, double parameters) {
  const v1::ExperimentSpec& spec = shard.spec();
  const double lifetimes = spec.rule().lifetimes_per_update();
  const double steps = double{1} * spec.lifetime().steps_per_iteration() * shard.collections() *
                       (needs.decisions_inside_lifetime ? 1 : spec.lifetime().iterations());
  const double both = shard.shape().observation_size() + double{1} * shard.shape().action_size();
  // A step as message, as tensor, in the batch of all lifetimes, and as the rule's own features.
  double numbers = lifetimes * steps * (needs.segments ? 5 * (both + 13) : 3 * 8);
  // Agents that live on, as they came, as they are kept, and as they go out.
  if (needs.decisions_inside_lifetime) {
    if (const auto loop = learner::SizesOfLoop(shard, static_cast<int64_t>(parameters)))
      numbers += 4 * lifetimes * static_cast<double>(loop->saved);
  }
  // Weights, optimizer, gradients and their copies in a checkpoint.
  numbers += 24 * parameters;
  return kProcessBytes + kMargin * kNumberBytes * numbers;
}

}  // namespace

std::optional<SpecMemory> MemoryOfSpec(const v1::ExperimentSpec& given) {
  const v1::ExperimentSpec spec = WithDefaults(given);
  Violations violations;
  const ExperimentParts parts = MakeParts(spec, /*num_threads=*/1, &violations);
  if (!violations.empty()) return std::nullopt;
  const RuleNeeds needs = parts.rule->needs();
  const int64_t parameters = parts.rule->meta_parameters().numel();
  const uint32_t whole = spec.rule().shard_lifetimes(), all = spec.rule().lifetimes_per_update();
  const auto memory_of = [&](uint32_t lifetimes) {
    v1::Shard shard = ShardOf(spec, *parts.benchmark, lifetimes);
    shard.set_outer_learning(true);
    shard.set_return_snapshot(needs.decisions_inside_lifetime);
    const learner::ShardMemory training = learner::MemoryOf(shard, parameters);
    if (spec.evaluation().lifetimes_per_goal() == 0) return training;
    return Larger(training, learner::MemoryOf(BaselineOf(std::move(shard)), parameters));
  };
  const uint32_t last = all % whole;
  return SpecMemory{
      .largest = memory_of(std::min(whole, all)),
      .smallest = memory_of(last > 0 ? last : std::min(whole, all)),
      .one_lifetime = memory_of(1),
      .meta_learner_bytes = static_cast<uint64_t>(MetaLearnerBytes(
          ShardOf(spec, *parts.benchmark, 1), needs, static_cast<double>(parameters))),
      .meta_learner_device_bytes =
          static_cast<uint64_t>(kMargin * static_cast<double>(parts.rule->DeviceBytes()))};
}

}  // namespace mentor::meta_learner
