#include "meta_learner/experiment/spec_memory.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_format.h>

#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/experiment/parts.h"
#include "meta_learner/experiment/shards.h"
#include "meta_learner/fleet/shard_board.h"
#include "methods/base/inner_loop.h"

namespace mentor::meta_learner {
namespace {

// An idle meta-learner: LibTorch, MuJoCo, gRPC and the models of its environments.
constexpr double kProcessBytes = 320 << 20;
constexpr double kMargin = 1.2;
constexpr double kNumberBytes = 4;
// The state before and after an update, temporaries of its size, and a checkpoint as tensors and as
// bytes.
constexpr double kStateCopies = 8;

v1::Shard ShardOf(const v1::ExperimentSpec& spec, const envs::Benchmark& benchmark,
                  uint32_t lifetimes) {
  v1::Shard shard;
  *shard.mutable_spec() = spec;
  *shard.mutable_shape() = ShapeOf(benchmark);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  *shard.mutable_inner_loop() = methods::InnerLoopOf(spec.rule());
  shard.set_collections(
      static_cast<uint32_t>(methods::FindInnerLoop(shard.inner_loop().name())->collections));
  shard.set_iterations(spec.lifetime().iterations());
  for (uint32_t i = 0; i < lifetimes; ++i) shard.add_lifetimes();
  shard.set_outer_learning(true);
  return shard;
}

// The same lifetimes as a baseline of an evaluation, with its source of rewards.
v1::Shard BaselineOf(v1::Shard shard, v1::RewardSource source) {
  shard.set_reward_source(source);
  shard.mutable_inner_loop()->Clear();
  shard.mutable_inner_loop()->set_name("ppo");
  shard.set_collections(1);
  shard.set_outcomes_only(true);
  shard.set_return_snapshot(false);
  shard.set_deterministic_episodes(shard.spec().evaluation().deterministic_episodes());
  return shard;
}

shards::ShardMemory Larger(const shards::ShardMemory& a, const shards::ShardMemory& b) {
  return {std::max(a.bytes, b.bytes), std::max(a.bytes_per_thread, b.bytes_per_thread),
          std::max(a.device_bytes, b.device_bytes)};
}

// Memory of the rule and of one outer update's results.
double MetaLearnerBytes(const v1::Shard& shard, const methods::RuleNeeds& needs,
                        const methods::RuleSizes& rule) {
  const v1::ExperimentSpec& spec = shard.spec();
  const double lifetimes = spec.rule().lifetimes_per_update();
  const double steps = double{1} * spec.lifetime().steps_per_iteration() * shard.collections() *
                       needs.iterations_of_update(spec.lifetime());
  const double both = shard.shape().observation_size() + double{1} * shard.shape().action_size();
  // A step as a message, as a tensor, in the batch of all lifetimes, and in the rule's features.
  double numbers = lifetimes * steps * (needs.segments ? 5 * (both + 13) : 3 * 8);
  // Agents that live on: as received, as kept, and as sent.
  if (needs.decisions_inside_lifetime) {
    if (const auto loop = methods::SizesOfLoop(shard, rule.meta_parameters))
      numbers += 4 * lifetimes * static_cast<double>(loop->saved);
  }
  // The gradient of each shard in double, as message and as tensor.
  if (methods::GivesGradient(shard)) {
    const double shards = std::ceil(lifetimes / spec.rule().shard_lifetimes());
    numbers += 4 * shards * static_cast<double>(rule.meta_parameters);
  }
  const double evaluated = spec.evaluation().lifetimes_per_goal() > 0 ? EvaluationBytes(spec) : 0;
  return kProcessBytes + kMargin * (std::max(kNumberBytes * numbers, evaluated) + rule.bytes +
                                    kUsualLearnerThreads * rule.bytes_per_thread);
}

}  // namespace

SpecMemory MemoryOfParts(const v1::ExperimentSpec& spec, const ExperimentParts& parts) {
  const methods::RuleNeeds needs = parts.rule->needs();
  methods::RuleSizes rule = parts.rule->Sizes();
  rule.bytes = std::max(rule.bytes, kStateCopies * static_cast<double>(parts.rule->StateBytes()));
  const int64_t parameters = rule.meta_parameters;
  const uint32_t whole = spec.rule().shard_lifetimes(), all = spec.rule().lifetimes_per_update();
  const auto memory_of = [&](uint32_t lifetimes) {
    v1::Shard shard = ShardOf(spec, *parts.benchmark, lifetimes);
    shard.set_return_snapshot(needs.decisions_inside_lifetime);
    shard.set_deterministic_episodes(static_cast<uint32_t>(rule.deterministic_episodes));
    const shards::ShardMemory training = shards::MemoryOf(shard, parameters);
    shard.set_deterministic_episodes(0);
    if (spec.evaluation().lifetimes_per_goal() == 0) return training;
    shards::ShardMemory largest =
        Larger(training, shards::MemoryOf(BaselineOf(shard, v1::REWARD_SOURCE_SPARSE), parameters));
    // Baselines with a bonus hold more than others.
    for (const Teacher& teacher :
         Teachers(spec.evaluation(), {}, /*learned=*/false, /*baselines=*/true)) {
      if (teacher.source == v1::REWARD_SOURCE_SIGNAL) continue;
      largest = Larger(largest, shards::MemoryOf(BaselineOf(shard, teacher.source), parameters));
    }
    return largest;
  };
  const uint32_t last = all % whole;
  return {.largest = memory_of(std::min(whole, all)),
          .smallest = memory_of(last > 0 ? last : std::min(whole, all)),
          .one_lifetime = memory_of(1),
          .meta_learner_bytes = static_cast<uint64_t>(
              MetaLearnerBytes(ShardOf(spec, *parts.benchmark, 1), needs, rule)),
          .meta_learner_device_bytes =
              static_cast<uint64_t>(kMargin * static_cast<double>(parts.rule->DeviceBytes()))};
}

void CheckSnapshots(const v1::ExperimentSpec& spec, const ExperimentParts& parts,
                    Violations* violations) {
  // rpc::kShardMessageBytesMax less the rest of the message.
  constexpr int64_t kBytesMax = int64_t{480} << 20;
  const v1::RuleSpec& rule = spec.rule();
  if (!parts.rule->needs().decisions_inside_lifetime || rule.outer_updates() == 0) return;
  const uint32_t agents = std::min(rule.shard_lifetimes(), rule.lifetimes_per_update());
  const auto loop = methods::SizesOfLoop(ShardOf(spec, *parts.benchmark, agents),
                                         parts.rule->Sizes().meta_parameters);
  if (!loop || 4 * loop->saved * agents <= kBytesMax) return;
  violations->Add(
      "rule.shard_lifetimes",
      absl::StrFormat("is %d; snapshots of agents with up to %d MiB each would pass the %d MiB of "
                      "a message: give fewer lifetimes a shard, or agents that keep less "
                      "(agent.hidden_units, steps of an iteration, replay or capacity of rule "
                      "'%s'), or outer_updates 0 and evaluate the agents",
                      rule.shard_lifetimes(), 4 * loop->saved >> 20, kBytesMax >> 20, rule.name()));
}

void CheckMachine(const SpecMemory& memory, uint64_t machine_bytes, Violations* violations) {
  if (machine_bytes == 0 || memory.meta_learner_bytes <= machine_bytes) return;
  violations->Add(
      "rule", absl::StrFormat("needs %s of the meta-learner, whose machine has %s for it; take "
                              "fewer lifetimes or members, smaller agents and networks, or give "
                              "the meta-learner a machine with more memory",
                              Gigabytes(memory.meta_learner_bytes), Gigabytes(machine_bytes)));
}

}  // namespace mentor::meta_learner
