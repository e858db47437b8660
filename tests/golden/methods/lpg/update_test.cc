// lpg: what the network says, an update by it, and the gradient of K updates. Variants with one
// mistake each must leave the golden numbers.
#include "methods/lpg/update.h"

#include <absl/strings/str_replace.h>

#include "agents/adam.h"
#include "tests/golden.h"

namespace mentor::methods::TEST_FILE {

using testing::CheckNear;
using testing::GoldenTolerance;
using testing::Json;
using testing::ReadGolden;
using testing::ToTensor;
using torch::Tensor;

struct Case {
  explicit Case(const Json& json)
      : layout(agents::AgentLayout(config.agent = {.observation_size = json.at("D"),
                                                   .action_size = json.at("A"),
                                                   .hidden_units = json.at("hidden"),
                                                   .discrete = true,
                                                   .value_outputs = json.at("predictions")})) {
    const Json& settings = json.at("config");
    config.sizes = {.predictions = json.at("predictions"),
                    .embedding = json.at("embedding"),
                    .lstm = json.at("lstm"),
                    .unroll = settings.at("unroll")};
    config.update.ppo.gamma = settings.at("gamma");
    config.alpha_y = settings.at("alpha_y");
    config.policy_entropy = settings.at("policy_entropy");
    config.prediction_entropy = settings.at("prediction_entropy");
    config.pi_hat_square = settings.at("pi_hat_square");
    config.y_hat_square = settings.at("y_hat_square");
    agents::PpoConfig& ppo = config.update.ppo;
    ppo.max_grad_norm = settings.at("max_grad_norm").get<double>();
    ppo.adam = settings.at("optimizer") == "ADAM";
    ppo.learning_rate = settings.at("lr");
    ppo.adam_beta1 = settings.at("beta1");
    ppo.adam_beta2 = settings.at("beta2");
    ppo.adam_epsilon = settings.at("opt_eps");
    agents = agents::NewAgents(Stacked(json.at("theta")));
    const agents::ParamLayout of_network = LpgLayout(config.sizes);
    std::vector<Tensor> phi;
    for (const agents::ParamSlice& slice : of_network.slices())
      phi.push_back(ToTensor(json.at("phi").at(slice.name)).flatten());
    weights = torch::cat(phi);
    for (const Json& segment : json.at("path")) {
      path.push_back({.observations = ToTensor(segment.at("obs")),
                      .actions = Choices(segment.at("act")),
                      .rewards = ToTensor(segment.at("reward")),
                      .dones = ToTensor(segment.at("done")),
                      .probs = {},
                      .y = {}});
      next_observations.push_back(ToTensor(segment.at("next_obs")));
    }
    const Json& outer = json.at("outer");
    rows = {.observations = ToTensor(outer.at("obs")),
            .actions = Choices(outer.at("act")),
            .log_probs = torch::zeros_like(ToTensor(outer.at("advantage"))),
            .advantages = ToTensor(outer.at("advantage")),
            .returns = {}};
  }

  // [S, P] of numbers by name.
  Tensor Stacked(const Json& json) const {
    std::vector<Tensor> parts;
    for (const agents::ParamSlice& slice : layout.slices()) {
      // The file says y of what is the critic's place.
      const std::string name = absl::StrReplaceAll(slice.name, {{"critic", "y"}});
      parts.push_back(ToTensor(json.at(name)).flatten(1));
    }
    return torch::cat(parts, 1);
  }
  Tensor Choices(const Json& json) const {
    return torch::one_hot(ToTensor(json).to(torch::kInt64), config.agent.action_size)
        .to(torch::kFloat64);
  }

  // What the agents see in each update, by their weights then.
  void Live() {
    agents::AgentBatch now = agents;
    for (size_t k = 0; k < path.size(); ++k) {
      Predict(config, now.theta, next_observations[k], &path[k]);
      const LpgOutputs said = Said(path[k]);
      now = agents::Descend(now, config.update.ppo, [&](const Tensor& theta) {
        return LpgLoss(config, theta, path[k], said);
      });
    }
  }

  LpgOutputs Said(const LpgSteps& steps) const {
    return Ask(config.sizes, config.update.ppo.gamma, weights, steps);
  }
  LpgGradient Gradient() const { return Teach(config, weights, agents, path, rows).value(); }

  LpgConfig config;
  agents::ParamLayout layout;
  agents::AgentBatch agents;
  Tensor weights;
  std::vector<LpgSteps> path;
  std::vector<Tensor> next_observations;
  OuterRows rows;
};

Tensor WantedGradient(const Json& test, const LpgConfig& config) {
  std::vector<Tensor> parts;
  const agents::ParamLayout layout = LpgLayout(config.sizes);
  for (const agents::ParamSlice& slice : layout.slices())
    parts.push_back(ToTensor(test.at("expected").at("dphi").at(slice.name)).flatten());
  return torch::cat(parts);
}

TEST_CASE("golden: learned policy gradient") {
  const torch::NoGradGuard no_grad;
  const Json file = ReadGolden("lpg");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const Json& expected = test.at("expected");
    Case c(test);
    c.Live();
    const auto check = [&](const std::string& what, const Tensor& got, const Tensor& want) {
      CheckNear(what, got, want, GoldenTolerance(file));
    };
    const LpgOutputs said = c.Said(c.path[0]);
    check("pi_hat", said.pi_hat, ToTensor(expected.at("pi_hat")));
    check("log_y_hat", said.log_y_hat, ToTensor(expected.at("log_y_hat")));
    check("loss", LpgLoss(c.config, c.agents.theta, c.path[0], said),
          ToTensor(expected.at("loss")));
    const LpgGradient gradient = c.Gradient();
    CHECK(gradient.finite.all().item<bool>());
    check("theta", gradient.steps.after.theta, c.Stacked(expected.at("theta")));
    check("outer loss", gradient.steps.outer_loss, ToTensor(expected.at("outer_loss")));
    check("gradient", gradient.weights, WantedGradient(test, c.config));
  }
}

TEST_CASE("golden: a mistake in the learned policy gradient is seen") {
  const torch::NoGradGuard no_grad;
  const Json file = ReadGolden("lpg");
  const Json& test = file.at("cases").at(2);
  const auto deviation = [&](const std::function<void(Case*)>& before,
                             const std::function<void(Case*)>& after) {
    Case c(test);
    if (before) before(&c);
    c.Live();
    if (after) after(&c);
    const Tensor want = WantedGradient(test, c.config);
    return ((c.Gradient().weights - want).norm() / want.norm()).item<double>();
  };
  using Change = std::function<void(Case*)>;
  const std::vector<std::pair<std::string, std::pair<Change, Change>>> mistakes = {
      {"memory goes on over the ends of episodes",
       {[](Case* c) { c->path[1].dones.zero_(); }, nullptr}},
      {"pieces are read as one", {[](Case* c) { c->config.sizes.unroll = 6; }, nullptr}},
      {"rewards come a step late",
       {[](Case* c) { c->path[0].rewards = c->path[0].rewards.roll(1, 1); }, nullptr}},
      {"another discount is seen", {[](Case* c) { c->config.update.ppo.gamma = 0.5; }, nullptr}},
      {"predictions come a step late",
       {nullptr, [](Case* c) { c->path[0].y = c->path[0].y.roll(1, 1); }}},
      {"the first agents' probabilities are seen later",
       {nullptr, [](Case* c) { c->path[2].probs = c->path[2].probs * 0.9; }}},
      {"no divergence", {[](Case* c) { c->config.alpha_y = 0; }, nullptr}},
      {"no entropy of policies", {[](Case* c) { c->config.policy_entropy = 0; }, nullptr}},
      {"no entropy of predictions", {[](Case* c) { c->config.prediction_entropy = 0; }, nullptr}},
      {"no squares of pi-hat", {[](Case* c) { c->config.pi_hat_square = 0; }, nullptr}},
      {"no squares of y-hat", {[](Case* c) { c->config.y_hat_square = 0; }, nullptr}},
      {"no second derivatives", {[](Case* c) { c->config.update.first_order = true; }, nullptr}},
      {"only the last update", {[](Case* c) { c->config.update.last_n = 1; }, nullptr}},
  };
  CHECK(deviation(nullptr, nullptr) < 1e-9);
  for (const auto& [what, changes] : mistakes) {
    INFO(what);
    CHECK(deviation(changes.first, changes.second) > 1e-4);
  }
}

}  // namespace mentor::methods::TEST_FILE
