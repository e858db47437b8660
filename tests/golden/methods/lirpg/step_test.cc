// lirpg_steps: minibatches in a row, each with its step of the reward network. Variants with one
// mistake each must leave the golden numbers.
#include "methods/lirpg/step.h"

#include "agents/adam.h"
#include "agents/gae.h"
#include "agents/policy.h"
#include "methods/lirpg/kernels.h"
#include "methods/shared/critic.h"
#include "tests/golden.h"

namespace mentor::methods::TEST_FILE {

using testing::CheckNear;
using testing::GoldenTolerance;
using testing::Json;
using testing::ReadGolden;
using testing::Tolerance;
using testing::ToTensor;
using torch::Tensor;

constexpr const char* kLayers[] = {"W1", "b1", "W2", "b2", "W3", "b3"};

// Tensors of these names, flat.
Tensor Flat(const Json& json, const std::vector<std::string>& names) {
  std::vector<Tensor> parts;
  for (const std::string& name : names) parts.push_back(ToTensor(json.at(name)).flatten());
  return torch::cat(parts);
}
Tensor Network(const Json& json) {
  return Flat(json, {std::begin(kLayers), std::end(kLayers)});
}

std::vector<std::string> NamesOf(const agents::ParamLayout& layout) {
  std::vector<std::string> names;
  for (const agents::ParamSlice& slice : layout.slices()) names.push_back(slice.name);
  return names;
}

enum class Mistake { kNone, kOtherMinibatch, kRawInputs, kStaleWeights, kSecondMoment };

struct Case {
  agents::AgentShape shape;
  LirpgConfig config;
  agents::PpoConfig outer;
  bool tensorflow = false;
  LirpgSegment segment;
  Tensor seen;  // [1, T, D]: what the reward network sees.
  std::vector<Tensor> minibatches;
  agents::AgentBatch agents, weights, critics;
};

Tensor OneAgent(const Json& json) {
  return ToTensor(json).unsqueeze(0);
}

Case Read(const Json& json) {
  const Json &settings = json.at("config"), &segment = json.at("segment");
  Case c;
  c.shape = {.observation_size = json.at("D"), .action_size = json.at("A"), .hidden_units = 3};
  c.tensorflow = settings.at("forms") == "tensorflow";
  agents::UpdateConfig& update = c.config.update;
  update.tensorflow_clip = update.tensorflow_epsilon = c.tensorflow;
  update.advantage_ddof = c.config.outer.advantage_ddof = c.tensorflow ? 0 : 1;
  update.ppo.gamma = settings.at("gamma");
  update.ppo.gae_lambda = settings.at("lambda");
  update.ppo.clip = c.config.outer.clip = settings.at("clip");
  update.ppo.value_coef = c.config.value_coef = settings.at("value_coef");
  update.ppo.entropy_coef = settings.at("entropy_coef");
  update.ppo.max_grad_norm = settings.at("max_grad_norm").get<double>();
  update.ppo.learning_rate = settings.at("lr");
  update.ppo.adam_beta1 = settings.at("beta1");
  update.ppo.adam_beta2 = settings.at("beta2");
  update.ppo.adam_epsilon = settings.at("opt_eps");
  update.ppo.clip_value_loss = settings.at("clip_value_loss");
  c.outer = update.ppo;
  c.outer.learning_rate = settings.at("outer_lr");
  c.outer.max_grad_norm = settings.at("outer_max_grad_norm").get<double>();
  c.config.c_in = settings.at("c_in");
  c.config.value_clip = update.ppo.clip_value_loss ? update.ppo.clip : 0;

  const agents::ParamLayout layout = agents::AgentLayout(c.shape);
  const std::vector<std::string> names = NamesOf(layout);
  const auto agents = [&](const char* part) { return Flat(json.at(part), names).unsqueeze(0); };
  c.agents = {agents("params"), agents("m"), agents("v"),
              torch::full({1}, json.at("opt_steps_before").get<int64_t>(), torch::kInt64)};
  c.weights = agents::NewAgents(Network(json.at("phi")).unsqueeze(0));
  c.critics = agents::NewAgents(Network(json.at("critic")).unsqueeze(0));
  const auto read = [&](const char* name) { return OneAgent(segment.at(name)); };
  c.seen = read("seen");
  c.segment.inputs.observations = read("obs");
  c.segment.inputs.actions = read("act");
  c.segment.inputs.log_probs = read("logp");
  c.segment.inputs.values = read("value");
  c.segment.task_rewards = settings.at("c_ex").get<double>() * read("r_ex");
  c.segment.prev_done = read("prev_done");
  c.segment.last_done = read("last_done");
  c.segment.last_values = read("last_value");
  c.segment.task_values = read("value_ex");
  c.segment.task_advantages =
      agents::Gae(read("r_ex"), c.segment.task_values, c.segment.prev_done, c.segment.last_done,
                  read("last_value_ex"), update.ppo.gamma, update.ppo.gae_lambda)
          .advantages;
  const Tensor rows = ToTensor(json.at("minibatches"), torch::kInt64);
  for (int64_t k = 0; k < rows.size(0); ++k) c.minibatches.push_back(rows[k].unsqueeze(0));
  return c;
}

LearnedRewards RewardsOf(const Case& c, const Tensor& seen) {
  const int64_t inputs = c.shape.observation_size + c.shape.action_size;
  const agents::ParamLayout layout(agents::ThreeLayers("sig", inputs, 3, 1));
  return [=, actions = c.segment.inputs.actions](const Tensor& weights) {
    const std::vector<Tensor> w = layout.Split(weights.unsqueeze(0));
    return agents::Forward({w[0], w[1], w[2], w[3], w[4], w[5]}, torch::cat({seen, actions}, -1))
        .squeeze(-1)
        .tanh();
  };
}

std::unique_ptr<LirpgKernels> KernelsOf(const Case& c) {
  const signals::StepLayers layers = {
      {c.shape.observation_size + c.shape.action_size, 3, 1, /*bounded=*/true},
      torch::cat({c.seen, c.segment.inputs.actions}, -1)};
  return NewLirpgKernels(c.shape, c.config, c.segment, layers, c.weights.theta.size(1),
                         c.minibatches[0].size(1), /*pool=*/nullptr);
}

// Everything of one step that a golden case has, flat.
struct Result {
  Tensor outer_loss, by_weights, by_critic, agents, weights, critic;
};

// Or by the kernels; mistakes are of the mathematics, which LibTorch does.
std::vector<Result> RunCase(Case c, Mistake mistake = Mistake::kNone, bool by_kernels = false) {
  if (mistake == Mistake::kSecondMoment) c.config.update.stop_second_moment = false;
  const Tensor seen = mistake == Mistake::kRawInputs ? c.segment.inputs.observations : c.seen;
  const Tensor first = c.weights.theta[0];
  const auto kernels = KernelsOf(c);
  std::vector<Result> results;
  for (size_t k = 0; k < c.minibatches.size(); ++k) {
    Tensor rows = c.minibatches[k];
    if (mistake == Mistake::kOtherMinibatch) rows = c.minibatches[(k + 1) % c.minibatches.size()];
    const Tensor weights = mistake == Mistake::kStaleWeights ? first : c.weights.theta[0];
    const LirpgGradient step = by_kernels
                                   ? *kernels->Step(c.agents, weights, c.critics.theta, rows)
                                   : *LirpgStep(c.shape, c.config, c.segment, c.agents,
                                                RewardsOf(c, seen), weights, c.critics.theta, rows);
    c.agents = step.agents;
    REQUIRE(StepTogether(c.outer, c.tensorflow, step, &c.weights, &c.critics));
    results.push_back({step.outer_loss, step.weights, step.critics[0], c.agents.theta[0],
                       c.weights.theta[0], c.critics.theta[0]});
  }
  return results;
}

void CheckCase(const Json& json, const Tolerance& tolerance, bool by_kernels) {
  INFO(json.at("name") << (by_kernels ? ", by kernels" : ""));
  const Case c = Read(json);
  const std::vector<Result> got = RunCase(c, Mistake::kNone, by_kernels);
  REQUIRE(got.size() == json.at("expected").size());
  const std::vector<std::string> names = NamesOf(agents::AgentLayout(c.shape));
  for (size_t k = 0; k < got.size(); ++k) {
    INFO("minibatch " << k);
    const Json& want = json.at("expected")[k];
    CheckNear("outer_loss", got[k].outer_loss[0], ToTensor(want.at("outer_loss")), tolerance);
    CheckNear("dJ_dphi", got[k].by_weights, Network(want.at("dJ_dphi")), tolerance);
    CheckNear("dL_dcritic", got[k].by_critic, Network(want.at("dL_dcritic")), tolerance);
    CheckNear("params_after", got[k].agents, Flat(want.at("params_after"), names), tolerance);
    CheckNear("phi_after", got[k].weights, Network(want.at("phi_after")), tolerance);
    CheckNear("critic_after", got[k].critic, Network(want.at("critic_after")), tolerance);
  }
}

TEST_CASE("golden: lirpg_steps", "[golden]") {
  const Json file = ReadGolden("lirpg_steps");
  for (const Json& json : file.at("cases")) {
    for (bool by_kernels : {false, true}) CheckCase(json, GoldenTolerance(file), by_kernels);
  }
}

TEST_CASE("lirpg_steps: each mistake shows in the weights of the reward network", "[golden]") {
  for (const Json& json : ReadGolden("lirpg_steps").at("cases")) {
    INFO(json.at("name"));
    const Case c = Read(json);
    const Json& want = json.at("expected").back();
    for (Mistake mistake : {Mistake::kOtherMinibatch, Mistake::kRawInputs, Mistake::kStaleWeights,
                            Mistake::kSecondMoment}) {
      INFO("mistake " << static_cast<int>(mistake));
      const Tensor got = RunCase(c, mistake).back().weights;
      const double off = (got - Network(want.at("phi_after"))).abs().max().item<double>();
      CHECK(off > 1e-6);
    }
  }
}

}  // namespace mentor::methods::TEST_FILE
