// What an update costs when it is differentiated (docs/performance.md, row `meta_gradient`): 16
// optimizer steps of 30 agents on minibatches of 512 steps, by both implementations, beside the
// same steps that are not differentiated.
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "common/check.h"
#include "learner/agents/differentiable_update.h"
#include "learner/agents/outer_objective.h"
#include "learner/agents/ppo.h"
#include "learner/agents/worker_pool.h"
#include "mentor/bench/bench.h"
#include "mentor/bench/workload.h"

namespace mentor::bench {
namespace {

constexpr int64_t kLearners = 30, kRows = 512, kMinibatches = 4, kEpochs = 4;
constexpr int64_t kMetaSteps = kRows * kMinibatches;

struct Cost {
  double seconds = 0;
  double megabytes = 0;  // Resident memory at its highest, above that before.
};

Cost CostOf(const std::function<void()>& work) {
  // The kernel's mark of the highest resident memory begins anew.
  std::ofstream("/proc/self/clear_refs") << "5";
  const double before = MemoryBytes("VmRSS:");
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return {seconds.count(), (MemoryBytes("VmHWM:") - before) / (1 << 20)};
}

double MedianCost(std::vector<Cost> costs, double Cost::*member) {
  std::sort(costs.begin(), costs.end(),
            [&](const Cost& a, const Cost& b) { return a.*member < b.*member; });
  return costs[costs.size() / 2].*member;
}

absl::StatusOr<Figures> RunMetaGradient(const Settings& settings) {
  const learner::AgentShape shape{.observation_size = kObservation, .action_size = kAction};
  const learner::ParamLayout layout = learner::AgentLayout(shape);
  std::vector<uint32_t> lifetimes(kLearners);
  std::iota(lifetimes.begin(), lifetimes.end(), 0);
  learner::UpdateConfig config;
  config.ppo.epochs = kEpochs;
  config.ppo.minibatches = kMinibatches;
  const learner::MinibatchOrder order = learner::KeyedOrder(1, Phase::kTraining, 0, lifetimes);

  learner::UpdateInputs inputs;
  inputs.agents = learner::NewAgents(
      learner::InitialTheta(shape, /*initial_std=*/1, /*seed=*/1, Phase::kTraining, lifetimes));
  inputs.observations = NormalTensor({kLearners, kMetaSteps, kObservation}, 0);
  inputs.actions = NormalTensor({kLearners, kMetaSteps, kAction}, 1);
  // Densities of unit normals about zero, which is what the first policies are.
  inputs.log_probs = -0.5 * inputs.actions.square().sum(-1) - 0.9189385 * kAction;
  inputs.values = NormalTensor({kLearners, kMetaSteps}, 3);
  inputs.advantages = NormalTensor({kLearners, kMetaSteps}, 4);
  inputs.minibatches =
      learner::DrawMinibatches(order, kLearners, kMetaSteps, kEpochs, kMinibatches);
  const learner::OuterRows rows{inputs.observations,
                                inputs.actions,
                                inputs.log_probs,
                                NormalTensor({kLearners, kMetaSteps}, 5),
                                {}};
  learner::Segment segment;
  segment.observations = inputs.observations;
  segment.actions = inputs.actions;
  segment.log_probs = inputs.log_probs;
  segment.prev_done = torch::zeros({kLearners, kMetaSteps});
  segment.last_done = torch::ones({kLearners});
  segment.next_observations = NormalTensor({kLearners, kObservation}, 6);

  learner::WorkerPool pool(settings.threads);
  // Agents side by side, as in a shard.
  const auto groups = [&](const std::function<void(int64_t first, int64_t count)>& work) {
    constexpr int64_t kGroup = 8;
    const absl::Status done =
        pool.ParallelFor((kLearners + kGroup - 1) / kGroup, [&](int64_t group) {
          work(group * kGroup, std::min(kGroup, kLearners - group * kGroup));
          return absl::OkStatus();
        });
    MENTOR_CHECK(done.ok());
  };
  const auto differentiate = [&](learner::UpdateImplementation implementation) {
    groups([&](int64_t first, int64_t count) {
      const learner::OuterRows own = rows.Agents(first, count);
      learner::DifferentiateUpdate(
          shape, config, inputs.Agents(first, count),
          [&](const torch::Tensor& theta) {
            return learner::OuterLoss(layout, theta, own, learner::OuterConfig{});
          },
          implementation);
    });
  };
  const auto kernels = [&] {
    MENTOR_CHECK(learner::PpoUpdate(shape, inputs.agents, segment, inputs.advantages, config.ppo,
                                    order, {.pool = &pool})
                     .ok());
  };
  const auto plain = [&] {
    groups([&](int64_t first, int64_t count) {
      learner::RunUpdate(shape, config, inputs.Agents(first, count));
    });
  };
  const auto replay = [&] { differentiate(learner::UpdateImplementation::kReplay); };
  const auto unrolled = [&] { differentiate(learner::UpdateImplementation::kUnrolled); };

  plain();  // Warm-up.
  kernels();
  std::vector<Cost> costs[4];
  const std::function<void()> works[] = {kernels, plain, replay, unrolled};
  for (int round = 0; round < settings.rounds; ++round) {
    for (int i = 0; i < 4; ++i) costs[i].push_back(CostOf(works[i]));
  }
  const auto seconds = [&](int i) { return MedianCost(costs[i], &Cost::seconds); };
  const auto megabytes = [&](int i) { return MedianCost(costs[i], &Cost::megabytes); };
  return Figures{{"ppo_kernels_s", {seconds(0), "s", ""}},
                 {"plain_s", {seconds(1), "s", ""}},
                 {"replay_s", {seconds(2), "s", ""}},
                 {"unrolled_s", {seconds(3), "s", ""}},
                 {"replay_over_plain", {seconds(2) / seconds(1), "ratio", "must 8"}},
                 {"unrolled_over_plain", {seconds(3) / seconds(1), "ratio", ""}},
                 {"replay_over_kernels", {seconds(2) / seconds(0), "ratio", ""}},
                 {"replay_mb", {megabytes(2), "MB", ""}},
                 {"unrolled_mb", {megabytes(3), "MB", ""}}};
}

const RegisterBench register_meta_gradient(
    {.name = "meta_gradient",
     .summary = "Differentiated updates of agents: time and memory",
     .run = RunMetaGradient});

}  // namespace
}  // namespace mentor::bench
