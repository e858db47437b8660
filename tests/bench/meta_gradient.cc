// The cost of differentiating an update: 16 optimizer steps of 30 agents on minibatches of 512
// steps, by both implementations, beside the same steps without differentiation. One thread.
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "agents/differentiable_update.h"
#include "agents/ppo.h"
#include "common/check.h"
#include "common/cpu_time.h"
#include "methods/shared/outer_objective.h"
#include "tests/bench/bench.h"
#include "tests/bench/workload.h"

namespace mentor::bench {
namespace {

constexpr int64_t kMetaRows = 512, kMetaMinibatches = 4, kMetaEpochs = 4;
constexpr int64_t kMetaSteps = kMetaRows * kMetaMinibatches;

struct Cost {
  double seconds = 0;
  double megabytes = 0;  // Highest resident memory, less that before.
};

Cost CostOf(const std::function<void()>& work) {
  // Resets the kernel's mark of the highest resident memory.
  std::ofstream("/proc/self/clear_refs") << "5";
  const double before = MemoryBytes("VmRSS:");
  const auto start = std::chrono::steady_clock::now();
  work();
  const double seconds = SecondsSince(start);
  return {seconds, (MemoryBytes("VmHWM:") - before) / (1 << 20)};
}

// The agents and their steps, and what is done with them.
struct MetaProblem {
  const agents::AgentShape shape{.observation_size = kObservation, .action_size = kAction};
  const agents::Segment segment = AgentsSegment(kLifetimes, kMetaSteps);
  agents::UpdateConfig config;
  agents::MinibatchOrder order;
  agents::UpdateInputs inputs;

  MetaProblem() {
    std::vector<uint32_t> lifetimes(kLifetimes);
    std::iota(lifetimes.begin(), lifetimes.end(), 0);
    config.ppo.epochs = kMetaEpochs;
    config.ppo.minibatches = kMetaMinibatches;
    order = agents::KeyedOrder(1, Phase::kTraining, 0, lifetimes);
    inputs.agents = agents::NewAgents(
        agents::InitialTheta(shape, /*initial_std=*/1, /*seed=*/1, Phase::kTraining, lifetimes));
    inputs.observations = segment.observations;
    inputs.actions = segment.actions;
    inputs.log_probs = segment.log_probs;
    inputs.values = NormalTensor({kLifetimes, kMetaSteps}, 3);
    inputs.advantages = NormalTensor({kLifetimes, kMetaSteps}, 4);
    inputs.minibatches =
        agents::DrawMinibatches(order, kLifetimes, kMetaSteps, kMetaEpochs, kMetaMinibatches)
            .value();
  }

  // Some agents at a time, as in a shard.
  void Groups(const std::function<void(int64_t first, int64_t count)>& work) const {
    constexpr int64_t kGroup = 8;
    for (int64_t first = 0; first < kLifetimes; first += kGroup)
      work(first, std::min(kGroup, kLifetimes - first));
  }

  void Plain() const {
    Groups([&](int64_t first, int64_t count) {
      MENTOR_CHECK(agents::RunUpdate(shape, config, inputs.Agents(first, count)).ok());
    });
  }

  void Differentiate(agents::UpdateImplementation implementation) const {
    const agents::ParamLayout layout = agents::AgentLayout(shape);
    const methods::OuterRows rows{inputs.observations,
                                  inputs.actions,
                                  inputs.log_probs,
                                  NormalTensor({kLifetimes, kMetaSteps}, 5),
                                  {}};
    Groups([&](int64_t first, int64_t count) {
      const methods::OuterRows own = rows.Agents(first, count);
      const auto made = agents::DifferentiateUpdate(
          shape, config, inputs.Agents(first, count),
          [&](const torch::Tensor& theta) {
            return methods::OuterLoss(layout, theta, own, methods::OuterConfig{});
          },
          implementation);
      MENTOR_CHECK(made.ok());
    });
  }

  void Kernels() const {
    MENTOR_CHECK(
        agents::PpoUpdate(shape, inputs.agents, segment, inputs.advantages, config.ppo, order, {})
            .ok());
  }
};

}  // namespace

absl::StatusOr<Figures> MeasureMetaGradient(const Settings&) {
  const MetaProblem problem;
  problem.Plain();  // Warm-up.
  problem.Kernels();
  const Cost kernels = CostOf([&] { problem.Kernels(); });
  const Cost plain = CostOf([&] { problem.Plain(); });
  const Cost replay = CostOf([&] { problem.Differentiate(agents::UpdateImplementation::kReplay); });
  const Cost unrolled =
      CostOf([&] { problem.Differentiate(agents::UpdateImplementation::kUnrolled); });
  return Figures{{"ppo_kernels", {kernels.seconds, "s"}},
                 {"plain", {plain.seconds, "s"}},
                 {"replay", {replay.seconds, "s"}},
                 {"unrolled", {unrolled.seconds, "s"}},
                 {"replay_over_plain", {replay.seconds / plain.seconds, "ratio"}},
                 {"unrolled_over_plain", {unrolled.seconds / plain.seconds, "ratio"}},
                 {"replay_over_kernels", {replay.seconds / kernels.seconds, "ratio"}},
                 {"replay_memory", {replay.megabytes, "MB"}},
                 {"unrolled_memory", {unrolled.megabytes, "MB"}}};
}

}  // namespace mentor::bench
