// LIRPG's minibatches by the kernels, against those by LibTorch: random agents, with clipped
// ratios, values and norms among them.
#include "methods/lirpg/kernels.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "agents/adam.h"
#include "agents/kernel_steps.h"
#include "agents/policy.h"
#include "methods/shared/critic.h"
#include "tests/normals.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

struct Sizes {
  int64_t agents = 3, steps = 40, hidden = 6, reward_hidden = 7, more_weights = 0;
};

constexpr int64_t kObservation = 5, kAction = 2, kRows = 14;

struct Problem {
  agents::AgentShape shape;
  LirpgConfig config;
  agents::PpoConfig outer;
  LirpgSegment segment;
  signals::StepLayers layers;
  agents::AgentBatch agents, weights, critics;
  std::vector<Tensor> minibatches;
};

Problem MakeProblem(const Sizes& sizes, const LirpgConfig& config, bool bounded) {
  uint32_t stream = 0;
  const auto normals = [&](torch::IntArrayRef shape) {
    return testing::Normals({.seed = 77}, stream++, shape).to(torch::kFloat64);
  };
  const int64_t s = sizes.agents, t = sizes.steps;
  Problem p;
  p.config = config;
  p.outer.learning_rate = 1e-2;
  p.outer.max_grad_norm = 0.5;
  p.shape = {.observation_size = kObservation,
             .action_size = kAction,
             .hidden_units = sizes.hidden,
             .critic = true};
  const auto agents = [&](int64_t rows, int64_t size) {
    agents::AgentBatch x = agents::NewAgents(0.4 * normals({rows, size}));
    x.adam_m = 0.1 * normals({rows, size});
    x.adam_v = 0.01 * normals({rows, size}).square();
    x.adam_steps = torch::arange(3, 3 + rows);
    return x;
  };
  p.agents = agents(s, agents::AgentLayout(p.shape).size());
  p.critics = agents(s, CriticSize(p.shape));
  p.layers.sizes = {kObservation + kAction, sizes.reward_hidden, 1, bounded};
  p.weights = agents(1, p.layers.sizes.num_params() + sizes.more_weights);

  LirpgSegment& x = p.segment;
  x.inputs.observations = normals({s, t, kObservation});
  x.inputs.actions = normals({s, t, kAction});
  const agents::AgentNetworks networks =
      agents::SplitAgents(agents::AgentLayout(p.shape), p.agents.theta);
  // Near the agents' own, so that ratios and values are on both sides of their clips.
  x.inputs.log_probs = agents::LogProb(agents::Forward(networks.policy, x.inputs.observations),
                                       networks.log_std, x.inputs.actions) +
                       0.2 * normals({s, t});
  x.inputs.values =
      agents::Forward(networks.value, x.inputs.observations).squeeze(-1) + 0.2 * normals({s, t});
  x.task_rewards = normals({s, t});
  x.prev_done = (normals({s, t}) > 1.2).to(torch::kFloat64);
  x.last_done = (torch::arange(s) % 2).to(torch::kFloat64);
  x.last_values = normals({s});
  x.task_values =
      CriticValues(p.shape, p.critics.theta, x.inputs.observations) + 0.2 * normals({s, t});
  x.task_advantages = normals({s, t});
  p.layers.inputs = torch::cat({x.inputs.observations, x.inputs.actions}, -1);
  const Tensor order = std::get<1>(normals({s, t}).sort(1));
  for (int64_t begin = 0; begin < t; begin += kRows)
    p.minibatches.push_back(order.narrow(1, begin, std::min(kRows, t - begin)));
  return p;
}

LearnedRewards RewardsOf(const signals::StepLayers& layers) {
  return [layers](const Tensor& weights) {
    const agents::ParamLayout layout(
        agents::ThreeLayers("sig", layers.sizes.in, layers.sizes.hidden, 1));
    const std::vector<Tensor> w =
        layout.Split(weights.narrow(0, 0, layers.sizes.num_params()).unsqueeze(0));
    const auto of = [&](int64_t s) {
      return agents::Forward({w[0], w[1], w[2], w[3], w[4], w[5]}, layers.inputs[s].unsqueeze(0));
    };
    std::vector<Tensor> rewards;
    for (int64_t s = 0; s < layers.inputs.size(0); ++s) rewards.push_back(of(s));
    const Tensor y = torch::cat(rewards).squeeze(-1);
    return layers.sizes.bounded ? y.tanh() : y;
  };
}

agents::AgentBatch As(const agents::AgentBatch& x, torch::Dtype dtype) {
  return {x.theta.to(dtype), x.adam_m.to(dtype), x.adam_v.to(dtype), x.adam_steps};
}

// The segment of the same numbers in this type.
LirpgSegment As(const LirpgSegment& x, torch::Dtype dtype) {
  LirpgSegment y = x;
  for (Tensor* tensor : {&y.inputs.observations, &y.inputs.actions, &y.inputs.log_probs,
                         &y.inputs.values, &y.last_values, &y.task_values, &y.task_advantages}) {
    *tensor = tensor->to(dtype);
  }
  return y;
}

// How much was clipped in a run.
struct Clipped {
  double ratios = 0, norms = 0, outer_ratios = 0;
};

// All minibatches by the kernels, each against LibTorch from the same numbers. Returns the greatest
// difference, relative to the size of a tensor's numbers.
double Compare(const Problem& problem, torch::Dtype dtype, Clipped* clipped = nullptr) {
  const torch::NoGradGuard no_grad;
  Problem p = problem;
  const auto kernels = NewLirpgKernels(p.shape, p.config, As(p.segment, dtype), p.layers,
                                       p.weights.theta.size(1), kRows, /*pool=*/nullptr);
  double worst = 0;
  const auto compare = [&](const std::string& name, const Tensor& got, const Tensor& want) {
    INFO(name);
    REQUIRE(got.sizes() == want.sizes());
    const double size = std::max(1e-3, want.abs().max().item<double>());
    const double off = (got.to(torch::kFloat64) - want).abs().max().item<double>() / size;
    CHECK(std::isfinite(off));
    worst = std::max(worst, off);
  };
  for (const Tensor& rows : p.minibatches) {
    const LirpgGradient want =
        LirpgStep(p.shape, p.config, p.segment, p.agents, RewardsOf(p.layers), p.weights.theta[0],
                  p.critics.theta, rows)
            .value();
    const auto got = kernels->Step(As(p.agents, dtype), p.weights.theta[0].to(dtype),
                                   p.critics.theta.to(dtype), rows);
    REQUIRE(got.ok());
    CHECK(got->left_out == want.left_out);
    CHECK(torch::equal(got->agents.adam_steps, want.agents.adam_steps));
    compare("theta", got->agents.theta, want.agents.theta);
    compare("adam_m", got->agents.adam_m, want.agents.adam_m);
    compare("adam_v", got->agents.adam_v, want.agents.adam_v);
    compare("weights", got->weights, want.weights);
    compare("critics", got->critics, want.critics);
    CHECK(want.weights.abs().max().item<double>() > 1e-6);
    CHECK(want.critics.abs().max().item<double>() > 1e-6);
    if (want.left_out == 0) {
      compare("outer_loss", got->outer_loss, want.outer_loss);
      compare("outer_clip_fraction", got->outer.clip_fraction, want.outer.clip_fraction);
      compare("loss", got->trace.loss, want.trace.loss);
      compare("policy_loss", got->trace.policy_loss, want.trace.policy_loss);
      compare("value_loss", got->trace.value_loss, want.trace.value_loss);
      compare("entropy", got->trace.entropy, want.trace.entropy);
      compare("approx_kl", got->trace.approx_kl, want.trace.approx_kl);
      compare("clip_fraction", got->trace.clip_fraction, want.trace.clip_fraction);
      compare("grad_norm", got->trace.grad_norm, want.trace.grad_norm);
    }
    if (clipped != nullptr) {
      const double most = p.config.update.ppo.max_grad_norm.value_or(1e30);
      clipped->ratios += want.trace.clip_fraction.sum().item<double>();
      clipped->outer_ratios += want.outer.clip_fraction.sum().item<double>();
      clipped->norms += (want.trace.grad_norm > most).sum().item<double>();
    }
    p.agents = want.agents;
    REQUIRE(
        StepTogether(p.outer, p.config.update.tensorflow_epsilon, want, &p.weights, &p.critics));
  }
  return worst;
}

LirpgConfig Config(bool tensorflow) {
  LirpgConfig config;
  agents::UpdateConfig& update = config.update;
  update.tensorflow_clip = update.tensorflow_epsilon = tensorflow;
  update.advantage_ddof = config.outer.advantage_ddof = tensorflow ? 0 : 1;
  update.ppo.learning_rate = 1e-2;
  update.ppo.clip_value_loss = true;
  update.ppo.entropy_coef = 0.01;
  update.ppo.max_grad_norm = 0.5;
  config.value_clip = config.outer.clip = update.ppo.clip;
  return config;
}

// The forms, and settings that leave one of them out.
std::vector<LirpgConfig> Configs() {
  std::vector<LirpgConfig> all;
  for (bool tensorflow : {false, true}) {
    const LirpgConfig plain = Config(tensorflow);
    all.push_back(plain);
    all.push_back(plain);
    all.back().update.ppo.max_grad_norm = 100;
    all.push_back(plain);
    all.back().update.ppo.max_grad_norm.reset();
    all.push_back(plain);
    all.back().update.stop_clip = true;
    all.push_back(plain);
    all.back().update.ppo.clip_value_loss = false;
    all.back().value_clip = 0;
    all.push_back(plain);
    all.back().update.ppo.normalize_advantage = false;
    all.back().c_in = 0.3;
    all.push_back(plain);
    all.back().outer.clip = 0.1;
    all.back().update.ppo.entropy_coef = 0;
    all.push_back(plain);
    all.back().update.ppo.drift = {.alpha = 0.2, .beta = 0.1};
  }
  return all;
}

TEST_CASE("lirpg kernels: the steps and gradients of LibTorch, in double", "[unit]") {
  Clipped clipped;
  double worst = 0;
  size_t number = 0;
  for (const LirpgConfig& config : Configs()) {
    INFO("configuration " << number++);
    for (bool bounded : {true, false}) {
      const double off = Compare(MakeProblem({}, config, bounded), torch::kFloat64, &clipped);
      CHECK(off < 1e-10 * testing::ToleranceScale());
      worst = std::max(worst, off);
    }
  }
  INFO("worst " << worst);
  CHECK(worst > 0);
  CHECK(clipped.ratios > 1);
  CHECK(clipped.outer_ratios > 1);
  CHECK(clipped.norms > 1);
}

TEST_CASE("lirpg kernels: whole registers, long segments and weights that are not the reward's",
          "[unit]") {
  for (const Sizes& sizes :
       {Sizes{.hidden = 8, .reward_hidden = 16}, Sizes{.agents = 1, .steps = 300},
        Sizes{.agents = 2, .steps = 256, .more_weights = 9}}) {
    const Problem problem = MakeProblem(sizes, Config(true), /*bounded=*/true);
    CHECK(Compare(problem, torch::kFloat64) < 1e-10 * testing::ToleranceScale());
  }
}

TEST_CASE("lirpg kernels: float is near", "[unit]") {
  for (bool tensorflow : {false, true}) {
    const Problem problem = MakeProblem({.hidden = 8}, Config(tensorflow), /*bounded=*/true);
    const double off = Compare(problem, torch::kFloat32);
    INFO(off);
    CHECK(off < 2e-3);
    CHECK(off > 1e-10);
  }
}

TEST_CASE("lirpg kernels: an agent that is not finite is left out, the others are not", "[unit]") {
  const Problem good = MakeProblem({}, Config(true), /*bounded=*/true);
  for (bool outer_only : {false, true}) {
    Problem bad = good;
    Tensor& broken = outer_only ? bad.segment.task_advantages : bad.segment.inputs.log_probs;
    broken = broken.clone();
    broken[1].fill_(std::nan(""));
    const auto kernels = NewLirpgKernels(bad.shape, bad.config, bad.segment, bad.layers,
                                         bad.weights.theta.size(1), kRows, nullptr);
    const auto got =
        kernels->Step(bad.agents, bad.weights.theta[0], bad.critics.theta, bad.minibatches[0]);
    REQUIRE(got.ok());
    CHECK(got->left_out == 1);
    CHECK(got->weights.isfinite().all().item<bool>());
    CHECK(got->weights.abs().max().item<double>() > 1e-6);
    // Where only the task's numbers are broken, the agent has learned.
    CHECK(torch::equal(got->agents.theta[1], bad.agents.theta[1]) == !outer_only);
    CHECK(got->critics[1].abs().max().item<double>() == 0);
    CHECK(got->critics[0].abs().max().item<double>() > 1e-6);
    if (!outer_only) CHECK(Compare(bad, torch::kFloat64) < 1e-10 * testing::ToleranceScale());
  }
}

TEST_CASE("lirpg kernels: threads do not matter", "[unit]") {
  const Problem p = MakeProblem({.agents = 5}, Config(true), /*bounded=*/true);
  agents::WorkerPool pool(3);
  std::vector<LirpgGradient> results;
  for (agents::WorkerPool* threads : {static_cast<agents::WorkerPool*>(nullptr), &pool}) {
    const auto kernels = NewLirpgKernels(p.shape, p.config, p.segment, p.layers,
                                         p.weights.theta.size(1), kRows, threads);
    results.push_back(
        *kernels->Step(p.agents, p.weights.theta[0], p.critics.theta, p.minibatches[0]));
  }
  CHECK(torch::equal(results[0].weights, results[1].weights));
  CHECK(torch::equal(results[0].critics, results[1].critics));
  CHECK(torch::equal(results[0].agents.theta, results[1].agents.theta));
}

TEST_CASE("lirpg kernels: steps of the agents alone", "[unit]") {
  const torch::NoGradGuard no_grad;
  for (bool tensorflow : {false, true}) {
    Problem p = MakeProblem({}, Config(tensorflow), /*bounded=*/true);
    agents::UpdateInputs inputs = p.segment.inputs;
    inputs.agents = p.agents;
    inputs.advantages = p.segment.task_advantages;
    inputs.minibatches = p.minibatches;
    const agents::UpdateOutputs want = agents::RunUpdate(p.shape, p.config.update, inputs).value();
    const auto got = agents::RunUpdateByKernels(p.shape, p.config.update, inputs, nullptr);
    REQUIRE(got.ok());
    CHECK(torch::allclose(got->agents.theta, want.agents.theta, 0, 1e-10));
    CHECK(torch::allclose(got->trace.loss, want.trace.loss, 1e-10, 1e-12));
    CHECK(torch::allclose(got->trace.grad_norm, want.trace.grad_norm, 1e-10, 1e-12));
    CHECK_FALSE(torch::allclose(got->agents.theta, p.agents.theta, 0, 1e-3));
    inputs.advantages = inputs.advantages.clone();
    inputs.advantages[2].fill_(std::nan(""));
    const auto broken = agents::RunUpdateByKernels(p.shape, p.config.update, inputs, nullptr);
    REQUIRE(broken.ok());
    CHECK(torch::equal(broken->agents.theta[2], p.agents.theta[2]));
    CHECK(torch::equal(broken->agents.adam_steps[2], p.agents.adam_steps[2]));
    CHECK(torch::equal(broken->agents.theta[0], got->agents.theta[0]));
  }
}

}  // namespace mentor::methods::TEST_FILE
