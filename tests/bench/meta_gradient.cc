// The cost of differentiating an update (docs/performance.md, row `meta_gradient`). 16 optimizer
// steps of 30 agents on minibatches of 512 steps, by both implementations, beside the same steps
// without differentiation.
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
#include "agents/worker_pool.h"
#include "common/check.h"
#include "tests/bench/bench.h"
#include "tests/bench/workload.h"
#include "methods/shared/outer_objective.h"

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

absl::StatusOr<Figures> RunMetaGradient(const Settings& settings) {
  const learner::AgentShape shape{.observation_size = kObservation, .action_size = kAction};
  const learner::ParamLayout layout = learner::AgentLayout(shape);
  std::vector<uint32_t> lifetimes(kLifetimes);
  std::iota(lifetimes.begin(), lifetimes.end(), 0);
  learner::UpdateConfig config;
  config.ppo.epochs = kMetaEpochs;
  config.ppo.minibatches = kMetaMinibatches;
  const learner::MinibatchOrder order = learner::KeyedOrder(1, Phase::kTraining, 0, lifetimes);

  learner::UpdateInputs inputs;
  inputs.agents = learner::NewAgents(
      learner::InitialTheta(shape, /*initial_std=*/1, /*seed=*/1, Phase::kTraining, lifetimes));
  inputs.observations = NormalTensor({kLifetimes, kMetaSteps, kObservation}, 0);
  inputs.actions = NormalTensor({kLifetimes, kMetaSteps, kAction}, 1);
  // Densities of unit normals about zero, as of the first policies.
  inputs.log_probs = -0.5 * inputs.actions.square().sum(-1) - 0.9189385 * kAction;
  inputs.values = NormalTensor({kLifetimes, kMetaSteps}, 3);
  inputs.advantages = NormalTensor({kLifetimes, kMetaSteps}, 4);
  inputs.minibatches =
      learner::DrawMinibatches(order, kLifetimes, kMetaSteps, kMetaEpochs, kMetaMinibatches)
          .value();
  const learner::OuterRows rows{inputs.observations,
                                inputs.actions,
                                inputs.log_probs,
                                NormalTensor({kLifetimes, kMetaSteps}, 5),
                                {}};
  learner::Segment segment;
  segment.observations = inputs.observations;
  segment.actions = inputs.actions;
  segment.log_probs = inputs.log_probs;
  segment.prev_done = torch::zeros({kLifetimes, kMetaSteps});
  segment.last_done = torch::ones({kLifetimes});
  segment.next_observations = NormalTensor({kLifetimes, kObservation}, 6);

  learner::WorkerPool pool(settings.threads);
  // Agents side by side, as in a shard.
  const auto groups = [&](const std::function<void(int64_t first, int64_t count)>& work) {
    constexpr int64_t kGroup = 8;
    const absl::Status done =
        pool.ParallelFor((kLifetimes + kGroup - 1) / kGroup, [&](int64_t group) {
          work(group * kGroup, std::min(kGroup, kLifetimes - group * kGroup));
          return absl::OkStatus();
        });
    MENTOR_CHECK(done.ok());
  };
  const auto differentiate = [&](learner::UpdateImplementation implementation) {
    groups([&](int64_t first, int64_t count) {
      const learner::OuterRows own = rows.Agents(first, count);
      const auto made = learner::DifferentiateUpdate(
          shape, config, inputs.Agents(first, count),
          [&](const torch::Tensor& theta) {
            return learner::OuterLoss(layout, theta, own, learner::OuterConfig{});
          },
          implementation);
      MENTOR_CHECK(made.ok());
    });
  };
  const auto kernels = [&] {
    MENTOR_CHECK(learner::PpoUpdate(shape, inputs.agents, segment, inputs.advantages, config.ppo,
                                    order, {.pool = &pool})
                     .ok());
  };
  const auto plain = [&] {
    groups([&](int64_t first, int64_t count) {
      MENTOR_CHECK(learner::RunUpdate(shape, config, inputs.Agents(first, count)).ok());
    });
  };
  const auto replay = [&] { differentiate(learner::UpdateImplementation::kReplay); };
  const auto unrolled = [&] { differentiate(learner::UpdateImplementation::kUnrolled); };

  plain();  // Warm-up.
  kernels();
  const Cost of_kernels = CostOf(kernels), of_plain = CostOf(plain), of_replay = CostOf(replay),
             of_unrolled = CostOf(unrolled);
  return Figures{{"ppo_kernels", {of_kernels.seconds, "s"}},
                 {"plain", {of_plain.seconds, "s"}},
                 {"replay", {of_replay.seconds, "s"}},
                 {"unrolled", {of_unrolled.seconds, "s"}},
                 {"replay_over_plain", {of_replay.seconds / of_plain.seconds, "ratio", "must 8"}},
                 {"unrolled_over_plain", {of_unrolled.seconds / of_plain.seconds, "ratio"}},
                 {"replay_over_kernels", {of_replay.seconds / of_kernels.seconds, "ratio"}},
                 {"replay_memory", {of_replay.megabytes, "MB"}},
                 {"unrolled_memory", {of_unrolled.megabytes, "MB"}}};
}

const RegisterBench register_meta_gradient(
    {.name = "meta_gradient",
     .summary = "Differentiated updates of agents: time and memory",
     .run = RunMetaGradient});

}  // namespace
}  // namespace mentor::bench
