#include "mentor/bench/ppo_rounds.h"

#include <torch/nn/modules/linear.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adam.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/cpu_time.h"
#include "learner/agents/agent_shape.h"
#include "learner/agents/ppo.h"
#include "mentor/bench/workload.h"
#include "mentor/report/statistics.h"

namespace mentor::bench {
namespace {

constexpr int64_t kHidden = 64, kSteps = 2000, kMinibatches = 16;
constexpr int kStackSizes[] = {1, 5, 15, 30};

double ThreadCpuMs() {
  return 1e3 * ThreadCpuSeconds();
}

learner::Segment MakeSegment(int64_t num_agents) {
  learner::Segment segment;
  segment.observations = NormalTensor({num_agents, kSteps, kObservation}, 0);
  segment.actions = NormalTensor({num_agents, kSteps, kAction}, 1);
  // Densities of unit normals about zero, which is what the first policies are.
  segment.log_probs = -0.5 * segment.actions.square().sum(-1) - 0.9189385 * kAction;
  segment.prev_done = torch::zeros({num_agents, kSteps});
  segment.last_done = torch::ones({num_agents});
  segment.next_observations = NormalTensor({num_agents, kObservation}, 2);
  return segment;
}

// What a user of LibTorch writes for one agent: modules, autograd and the library's optimizer.
class EagerAgent {
 public:
  EagerAgent() {
    for (Net* net : {&policy_, &value_}) {
      const int64_t out = net == &policy_ ? kAction : 1;
      *net = {torch::nn::Linear(kObservation, kHidden), torch::nn::Linear(kHidden, kHidden),
              torch::nn::Linear(kHidden, out)};
      for (const torch::nn::Linear& layer : *net) {
        parameters_.push_back(layer->weight);
        parameters_.push_back(layer->bias);
      }
    }
    parameters_.push_back(log_std_);
    optimizer_ = std::make_unique<torch::optim::Adam>(parameters_,
                                                      torch::optim::AdamOptions(3e-4).eps(1e-5));
  }

  void Step(const learner::Segment& segment, const torch::Tensor& advantages,
            const torch::Tensor& returns, const torch::Tensor& rows) {
    const torch::Tensor observations = segment.observations[0].index_select(0, rows);
    const torch::Tensor actions = segment.actions[0].index_select(0, rows);
    const torch::Tensor old_log_probs = segment.log_probs[0].index_select(0, rows);
    torch::Tensor advantage = advantages[0].index_select(0, rows);
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8);
    const torch::Tensor z = (actions - Forward(policy_, observations)) / log_std_.exp();
    const torch::Tensor log_probs = (-0.5 * z.square() - log_std_ - 0.9189385).sum(-1);
    const torch::Tensor ratio = (log_probs - old_log_probs).exp();
    const torch::Tensor policy_loss =
        torch::max(-advantage * ratio, -advantage * ratio.clamp(0.8, 1.2)).mean();
    const torch::Tensor values = Forward(value_, observations).squeeze(-1);
    const torch::Tensor value_loss =
        0.5 * (values - returns[0].index_select(0, rows)).square().mean();
    const torch::Tensor loss = policy_loss + 0.5 * value_loss;
    optimizer_->zero_grad();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(parameters_, 0.5);
    optimizer_->step();
  }

 private:
  using Net = std::vector<torch::nn::Linear>;

  torch::Tensor Forward(Net& net, const torch::Tensor& x) {
    return net[2](net[1](net[0](x).tanh()).tanh());
  }

  Net policy_, value_;
  torch::Tensor log_std_ = torch::zeros({kAction}, torch::requires_grad());
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<torch::optim::Adam> optimizer_;
};

}  // namespace

std::map<std::string, double> BenchPpo(const BenchPpoOptions& options) {
  const int64_t batch = kSteps / kMinibatches;
  const int64_t epochs = std::max<int64_t>(1, options.steps / kMinibatches);
  const learner::Segment one = MakeSegment(1);
  const torch::Tensor advantages = NormalTensor({1, kSteps}, 3),
                      returns = NormalTensor({1, kSteps}, 4);

  EagerAgent eager;
  const auto run_eager = [&] {
    const double start = ThreadCpuMs();
    for (int64_t epoch = 0; epoch < epochs; ++epoch) {
      const torch::Tensor order = torch::empty({kSteps}, torch::kInt64);
      learner::Permutation({.seed = 1, .purpose = Purpose::kMinibatchOrder},
                           static_cast<uint32_t>(epoch), {order.data_ptr<int64_t>(), kSteps});
      for (int64_t i = 0; i < kMinibatches; ++i)
        eager.Step(one, advantages, returns, order.narrow(0, i * batch, batch));
    }
    return (ThreadCpuMs() - start) / static_cast<double>(epochs * kMinibatches);
  };

  const learner::AgentShape shape{.observation_size = kObservation, .action_size = kAction};
  learner::PpoConfig config;
  config.epochs = epochs;
  std::map<int, learner::Segment> segments;
  std::map<int, learner::AgentBatch> agents;
  for (int s : kStackSizes) {
    segments[s] = MakeSegment(s);
    std::vector<uint32_t> lifetimes(s);
    std::iota(lifetimes.begin(), lifetimes.end(), 0);
    agents[s] = learner::NewAgents(
        learner::InitialTheta(shape, /*initial_std=*/1, /*seed=*/1, Phase::kTraining, lifetimes));
  }
  // Values, advantages and permutations are part of it.
  const auto run_update = [&](int s, learner::PpoEngine engine) {
    std::vector<uint32_t> lifetimes(s);
    std::iota(lifetimes.begin(), lifetimes.end(), 0);
    const torch::Tensor rewards = NormalTensor({s, kSteps}, 5);
    const double start = ThreadCpuMs();
    const absl::StatusOr<learner::UpdateResult> result =
        learner::PpoUpdate(shape, agents[s], segments[s], rewards, config,
                           learner::KeyedOrder(1, Phase::kTraining, 0, lifetimes),
                           {.engine = engine, .pool = nullptr});
    MENTOR_CHECK(result.ok() && result->nonfinite == 0);
    return (ThreadCpuMs() - start) / static_cast<double>(epochs * kMinibatches * s);
  };

  std::vector<double> modules_ms;
  std::map<int, std::vector<double>> stacked_ms, ours_ms;
  run_eager();  // Warm-up.
  run_update(1, learner::PpoEngine::kKernels);
  run_update(1, learner::PpoEngine::kAutograd);
  for (int round = 0; round < options.rounds; ++round) {
    modules_ms.push_back(run_eager());
    for (int s : kStackSizes) {
      stacked_ms[s].push_back(run_update(s, learner::PpoEngine::kAutograd));
      ours_ms[s].push_back(run_update(s, learner::PpoEngine::kKernels));
    }
  }
  std::map<std::string, double> numbers = {{"eager_modules_ms", report::Median(modules_ms)}};
  double best = numbers["eager_modules_ms"];
  for (int s : kStackSizes) {
    numbers[absl::StrCat("eager_s", s, "_ms")] = report::Median(stacked_ms[s]);
    best = std::min(best, report::Median(stacked_ms[s]));
  }
  numbers["eager_ms"] = best;
  for (int s : kStackSizes) {
    const double ms = report::Median(ours_ms[s]);
    numbers[absl::StrCat("ours_s", s, "_ms")] = ms;
    numbers[absl::StrCat("speedup_s", s)] = best / ms;
  }
  return numbers;
}

}  // namespace mentor::bench
