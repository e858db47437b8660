// mg_bootstrap: the target, the matching loss, and its gradient by the reward network, by both
// implementations of the differentiated update. Variants with one mistake each must leave the
// golden numbers.
#include "methods/meta_gradient/bootstrap.h"

#include "agents/gae.h"
#include "agents/policy.h"
#include "methods/shared/outer_objective.h"
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

enum class Mistake {
  kNone,
  kOneStepLess,
  kNoTaskStep,
  kFreshOptimizer,
  kFromTheStart,
  kReversed,
  kFirstOrder,
};

Tensor Flat(const agents::ParamLayout& layout, const Json& json) {
  std::vector<Tensor> parts;
  for (const agents::ParamSlice& slice : layout.slices())
    parts.push_back(ToTensor(json.at(slice.name)).flatten());
  return torch::cat(parts).unsqueeze(0);
}

struct Case {
  agents::AgentShape shape;
  agents::UpdateConfig update;
  agents::UpdateInputs inputs;  // Without advantages.
  std::vector<Tensor> further;
  OuterRows rows;
  Tensor task_rewards, prev_done, last_done, last_values;
  double c_in = 1;
  std::vector<Tensor> phi;

  agents::ParamLayout layout() const { return agents::AgentLayout(shape); }

  Tensor Learned() const {
    const auto w = [&](int i) { return phi[i].unsqueeze(0); };
    const Tensor x = torch::cat({inputs.observations, inputs.actions}, -1);
    return agents::Forward({w(0), w(1), w(2), w(3), w(4), w(5)}, x).squeeze(-1).tanh();
  }
  Tensor Advantages(const Tensor& learned) const {
    return agents::Gae(task_rewards + c_in * learned, inputs.values, prev_done, last_done,
                       last_values, update.ppo.gamma, update.ppo.gae_lambda)
        .advantages;
  }
  Tensor OuterLossOf(const Tensor& theta) const {
    return OuterLoss(layout(), theta, rows, OuterConfig{.clip = update.ppo.clip});
  }
};

std::vector<Tensor> Minibatches(const Json& json) {
  std::vector<Tensor> minibatches;
  const Tensor rows = ToTensor(json, torch::kInt64);
  for (int64_t k = 0; k < rows.size(0); ++k) minibatches.push_back(rows[k].unsqueeze(0));
  return minibatches;
}

Case Read(const Json& json) {
  const Json &settings = json.at("config"), &segment = json.at("segment");
  REQUIRE(settings.at("forms") == "torch");
  Case c;
  c.shape = {.observation_size = json.at("D"), .action_size = json.at("A"), .hidden_units = 3};
  agents::PpoConfig& ppo = c.update.ppo;
  ppo.gamma = settings.at("gamma");
  ppo.gae_lambda = settings.at("lambda");
  ppo.clip = settings.at("clip");
  ppo.value_coef = settings.at("value_coef");
  ppo.entropy_coef = settings.at("entropy_coef");
  ppo.max_grad_norm = settings.at("max_grad_norm").get<double>();
  ppo.learning_rate = settings.at("lr");
  ppo.adam_beta1 = settings.at("beta1");
  ppo.adam_beta2 = settings.at("beta2");
  ppo.adam_epsilon = settings.at("opt_eps");
  ppo.adam = settings.at("optimizer") == "adam";
  c.c_in = settings.at("c_in");
  const auto read = [&](const char* name) { return ToTensor(segment.at(name)).unsqueeze(0); };
  c.inputs.agents = {Flat(c.layout(), json.at("params")), Flat(c.layout(), json.at("m")),
                     Flat(c.layout(), json.at("v")),
                     torch::full({1}, json.at("opt_steps_before").get<int64_t>(), torch::kInt64)};
  c.inputs.observations = read("obs");
  c.inputs.actions = read("act");
  c.inputs.log_probs = read("logp");
  c.inputs.values = read("value");
  c.inputs.minibatches = Minibatches(json.at("minibatches"));
  c.further = Minibatches(json.at("further"));
  c.task_rewards = settings.at("c_ex").get<double>() * read("r_ex");
  c.prev_done = read("prev_done");
  c.last_done = read("last_done");
  c.last_values = read("last_value");
  c.rows = {c.inputs.observations,
            c.inputs.actions,
            c.inputs.log_probs,
            agents::Gae(read("r_ex"), read("value_ex"), c.prev_done, c.last_done,
                        read("last_value_ex"), ppo.gamma, ppo.gae_lambda)
                .advantages,
            {}};
  for (const char* name : kLayers)
    c.phi.push_back(ToTensor(json.at("phi").at(name)).requires_grad_(true));
  return c;
}

Tensor Target(const Case& c, const agents::AgentBatch& after, const Tensor& advantages,
              Mistake mistake) {
  agents::UpdateInputs further = c.inputs;
  further.agents = mistake == Mistake::kFromTheStart ? c.inputs.agents : after;
  if (mistake == Mistake::kFreshOptimizer) further.agents = agents::NewAgents(after.theta);
  further.advantages = advantages;
  further.minibatches = c.further;
  if (mistake == Mistake::kOneStepLess && !further.minibatches.empty())
    further.minibatches.pop_back();
  if (mistake == Mistake::kNoTaskStep && !further.minibatches.empty())
    return agents::RunUpdate(c.shape, c.update, further)->agents.theta;
  return BootstrapTarget(c.shape, c.update, further,
                         [&](const Tensor& theta) { return c.OuterLossOf(theta); })
      .value();
}

struct Got {
  Tensor after, target, loss;
  std::vector<Tensor> by_phi;
};

Got Compute(const Case& c, agents::UpdateImplementation implementation,
            Mistake mistake = Mistake::kNone) {
  Got got;
  agents::UpdateInputs inputs = c.inputs;
  const Tensor learned = c.Learned();
  inputs.advantages = c.Advantages(learned.detach());
  const agents::AgentBatch after = agents::RunUpdate(c.shape, c.update, inputs)->agents;
  got.after = after.theta;
  got.target = Target(c, after, inputs.advantages, mistake);
  agents::UpdateConfig update = c.update;
  update.first_order = mistake == Mistake::kFirstOrder;
  const auto gradient = agents::DifferentiateUpdate(
      c.shape, update, inputs,
      [&](const Tensor& theta) {
        if (mistake != Mistake::kReversed)
          return MatchingLoss(c.layout(), got.target, theta, c.inputs.observations);
        const agents::AgentNetworks p = agents::SplitAgents(c.layout(), theta),
                                    q = agents::SplitAgents(c.layout(), got.target);
        const Tensor log_p = p.log_std.unsqueeze(1), log_q = q.log_std.unsqueeze(1),
                     moved = agents::Forward(p.policy, c.inputs.observations) -
                             agents::Forward(q.policy, c.inputs.observations);
        const Tensor squares = (2 * log_p).exp() + moved.square();
        return (log_q - log_p + 0.5 * squares * (-2 * log_q).exp() - 0.5).sum(-1).mean(1);
      },
      implementation);
  REQUIRE(gradient.ok());
  got.loss = gradient->outer_loss;
  const Tensor by_reward = c.c_in * agents::GaeAdjoint(gradient->advantages, c.prev_done,
                                                       c.update.ppo.gamma, c.update.ppo.gae_lambda);
  got.by_phi = torch::autograd::grad({(learned * by_reward).sum()}, c.phi);
  return got;
}

TEST_CASE("golden: mg_bootstrap", "[golden]") {
  const Json file = ReadGolden("mg_bootstrap");
  const Tolerance tolerance = GoldenTolerance(file);
  for (const Json& json : file.at("cases")) {
    INFO(json.at("name"));
    const Case c = Read(json);
    const Json& expected = json.at("expected");
    for (const auto implementation :
         {agents::UpdateImplementation::kUnrolled, agents::UpdateImplementation::kReplay}) {
      INFO("implementation " << static_cast<int>(implementation));
      const Got got = Compute(c, implementation);
      CheckNear("params_after", got.after, Flat(c.layout(), expected.at("params_after")),
                tolerance);
      CheckNear("target", got.target, Flat(c.layout(), expected.at("target")), tolerance);
      CheckNear("matching_loss", got.loss, ToTensor(expected.at("matching_loss")).view({1}),
                tolerance);
      for (size_t i = 0; i < got.by_phi.size(); ++i) {
        CheckNear(kLayers[i], got.by_phi[i], ToTensor(expected.at("dJ_dphi").at(kLayers[i])),
                  tolerance);
      }
    }
  }
}

TEST_CASE("golden: a mistake leaves the gradients of mg_bootstrap", "[golden]") {
  const Json file = ReadGolden("mg_bootstrap");
  for (const Mistake mistake :
       {Mistake::kOneStepLess, Mistake::kNoTaskStep, Mistake::kFreshOptimizer,
        Mistake::kFromTheStart, Mistake::kReversed, Mistake::kFirstOrder}) {
    INFO("mistake " << static_cast<int>(mistake));
    double worst = 0;
    for (const Json& json : file.at("cases")) {
      const Case c = Read(json);
      const Got got = Compute(c, agents::UpdateImplementation::kReplay, mistake);
      for (size_t i = 0; i < got.by_phi.size(); ++i) {
        const Tensor want = ToTensor(json.at("expected").at("dJ_dphi").at(kLayers[i]));
        const double size = want.abs().max().item<double>();
        worst = std::max(worst, (got.by_phi[i] - want).abs().max().item<double>() / size);
      }
    }
    CHECK(worst > 1e-3);
  }
}

}  // namespace mentor::methods::TEST_FILE
