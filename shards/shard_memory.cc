#include "shards/shard_memory.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "agents/segment.h"
#include "methods/base/inner_loop.h"
#include "shards/unit_plan.h"

namespace mentor::shards {
namespace {

// The allocator keeps memory between pieces of different sizes.
constexpr double kMargin = 1.2;
// A unit beside its policy and its trajectory: the queued message, its keys, task and result, and
// the simulator's state (some kilobytes for MuJoCo) twice.
constexpr double kUnitBytes = 16 << 10;
constexpr double kNumberBytes = 4;

struct Sizes {
  double agents = 0;       // S
  double steps = 0;        // T of a collection
  double collections = 0;  // in an inner iteration
  double units = 0;        // of a collection
  double observation = 0, action = 0;
};

Sizes SizesOf(const v1::Shard& shard) {
  const v1::EnvironmentShape& shape = shard.shape();
  Sizes sizes{.agents = static_cast<double>(shard.lifetimes_size()),
              .steps = static_cast<double>(shard.spec().lifetime().steps_per_iteration()),
              .collections = static_cast<double>(std::max(1U, shard.collections())),
              .observation = static_cast<double>(shape.observation_size()),
              .action = static_cast<double>(shape.action_size())};
  const double deterministic =
      double{1} * shard.deterministic_episodes() * std::max(1U, shape.episode_steps());
  sizes.steps = std::max(sizes.steps, deterministic);
  // A unit ends at a border of episodes after kUnitStepsMin steps (unit_plan.cc).
  const double least = std::max<double>(kUnitStepsMin, shape.episode_steps());
  const double parts = shape.independent_episodes() ? std::floor(sizes.steps / least) + 1 : 1;
  sizes.units = sizes.agents * parts;
  return sizes;
}

// Numbers of one step of one agent, from the actor's message to the meta-learner's.
double NumbersOfStep(const v1::Shard& shard, const Sizes& sizes,
                     const signals::SignalNetwork* network) {
  const double both = sizes.observation + sizes.action;
  // Bytes of the result, as received and as parsed: rewards are double, flags are bytes.
  double numbers = 2 * (both + 5);
  // Bytes of the segment (agents/segment.h), and its observations once more, normalised.
  numbers += both + 13 + sizes.observation;
  if (shard.spec().agent().bootstrap_on_truncation()) numbers += sizes.observation + 2;
  // Bytes of messages to the meta-learner: two unacknowledged, one in the making, and the bytes of
  // one. An evaluation sends outcomes only.
  numbers += 4 * (shard.outcomes_only() ? 8 : both + 13);
  // The signal network's input, and the parts that it is made of.
  if (network != nullptr)
    numbers += 2 * (both + 5) + static_cast<double>(network->NumbersPerStep(/*graph=*/false));
  return numbers;
}

}  // namespace

ShardMemory MemoryOf(const v1::Shard& shard, int64_t num_meta_parameters) {
  if (shard.lifetimes().empty()) return {};  // Loops divide by their number.
  const std::optional<methods::LoopSizes> loop = methods::SizesOfLoop(shard, num_meta_parameters);
  if (!loop) return {};
  const Sizes sizes = SizesOf(shard);
  Violations violations;
  std::unique_ptr<signals::SignalNetwork> network;
  if (shard.reward_source() == v1::REWARD_SOURCE_SIGNAL) {
    network = signals::MakeSignalNetwork(shard.spec().signal(), methods::SignalContextOf(shard),
                                         &violations);
  }
  double numbers = static_cast<double>(loop->at_once);
  // The agents, and their snapshot as received and as sent, each as message and as bytes.
  const bool snapshots = shard.has_snapshot() || shard.return_snapshot();
  numbers += sizes.agents * (static_cast<double>(loop->state) +
                             (snapshots ? 4 : 0) * static_cast<double>(loop->saved));
  // The acting policies as made, and in every unit as planned and as sent, in its message and in
  // the message's bytes (unit_plan.cc, rollout_server.cc).
  numbers += static_cast<double>(loop->policy) * (sizes.agents + 4 * sizes.units);
  numbers +=
      sizes.agents * sizes.steps * sizes.collections * NumbersOfStep(shard, sizes, network.get());
  // Meta-parameters as message, bytes, tensor, and the network's packed copy. The outer gradient is
  // double, in two of these forms.
  numbers += 8 * static_cast<double>(num_meta_parameters);
  // LibTorch keeps a phase's device memory, which may not fit another phase.
  double device = static_cast<double>(loop->device_bytes);
  if (network != nullptr && network->signals() != nullptr) {
    device += static_cast<double>(network->signals()->RunDeviceBytes(
        shard.lifetimes_size(), static_cast<int64_t>(sizes.steps * sizes.collections)));
  }
  return {
      .bytes = static_cast<uint64_t>(kMargin * (kNumberBytes * numbers + kUnitBytes * sizes.units)),
      .bytes_per_thread =
          static_cast<uint64_t>(kMargin * kNumberBytes * static_cast<double>(loop->per_thread)),
      .device_bytes = static_cast<uint64_t>(kMargin * device)};
}

}  // namespace mentor::shards
