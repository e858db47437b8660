// MAESN's adaptation step and outer loss against maesn.json
// (methods/maesn/README.md), in float64.
#include "methods/maesn/objective.h"

#include "methods/shared/folded_input.h"
#include "tests/golden/signal_fixture.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::CheckNear;
using mentor::testing::GoldenFlat;
using mentor::testing::Json;
using mentor::testing::Tolerance;
using mentor::testing::ToTensor;
using torch::Tensor;

// Policy, step sizes and latents of the case, or the gradient with respect to them.
Tensor Parameters(const agents::ParamLayout& policy, const Json& theta, const Json& rest) {
  std::vector<Tensor> parts = {GoldenFlat(policy, theta, torch::kFloat64)};
  for (const char* name : {"alpha_mu", "alpha_sigma", "mu", "log_sigma"})
    parts.push_back(ToTensor(rest.at(name)).flatten());
  return torch::cat(parts);
}

void CheckCase(const Json& test, Tolerance tolerance, agents::WorkerPool* pool) {
  INFO(test.at("name").get<std::string>());
  const int64_t tasks = test.at("tasks");
  const LatentConfig config{.policy = {.observation_size = test.at("D"),
                                       .action_size = test.at("A"),
                                       .hidden_units = test.at("H"),
                                       .critic = false},
                            .latent = test.at("dz"),
                            .episode_steps = test.at("M"),
                            .episodes = test.at("E")};
  const agents::ParamLayout policy = LatentPolicyLayout(config);
  std::vector<std::string> names;
  for (const agents::ParamSlice& slice : policy.slices()) names.push_back(slice.name);
  REQUIRE(names == test.at("theta_order").get<std::vector<std::string>>());
  const Json& expected = test.at("expected");
  const Tensor weights = Parameters(policy, test.at("theta"), test);

  const Tensor eps = ToTensor(test.at("eps")), rewards = ToTensor(test.at("rewards"));
  const Latent rates{ToTensor(test.at("alpha_mu")), ToTensor(test.at("alpha_sigma"))};
  const Tensor post_eps = ToTensor(test.at("post_eps")), obs = ToTensor(test.at("post_obs")),
               act = ToTensor(test.at("post_act")), adv = ToTensor(test.at("post_advantages"));
  std::vector<MaesnLifetime> lifetimes;
  double kl = 0;
  for (int64_t i = 0; i < tasks; ++i) {
    INFO("task " << i);
    const Latent latent{ToTensor(test.at("mu"))[i], ToTensor(test.at("log_sigma"))[i]};
    const auto want = [&](const char* name) { return ToTensor(expected.at(name))[i]; };
    const Tensor z = DrawLatents(latent, eps[i]);
    CheckNear("z", z, want("z"), tolerance);
    const Tensor advantages = EpisodeAdvantages(rewards[i]);
    CheckNear("advantages", advantages, want("advantages"), tolerance);
    const Latent gradient = ScoreGradient(latent, z, advantages);
    CheckNear("gradient by mu", gradient.mu, want("grad_mu"), tolerance);
    CheckNear("gradient by log sigma", gradient.log_sigma, want("grad_log_sigma"), tolerance);
    const Latent after = AdaptLatent(latent, rates, z, advantages);
    CheckNear("mu after", after.mu, want("mu_after"), tolerance);
    CheckNear("log sigma after", after.log_sigma, want("log_sigma_after"), tolerance);
    CheckNear("kl", LatentKl(latent), want("kl"), tolerance);
    kl += LatentKl(latent).item<double>();
    lifetimes.push_back({.task = i,
                         .steps = {{eps[i], advantages}},
                         .eps = post_eps[i],
                         .observations = obs[i],
                         .actions = act[i],
                         .advantages = adv[i]});
  }

  // Episode 0 of task 0.
  const Tensor folded = FoldInput(config.policy, weights.narrow(0, 0, policy.size()).unsqueeze(0),
                                  ToTensor(expected.at("z"))[0].narrow(0, 0, 1));
  const agents::ParamLayout seen = AgentLayout(config.policy);
  const std::vector<Tensor> parts = seen.Split(folded[0]);
  CheckNear("folded W1", parts[seen.IndexOf("actor.W1")], ToTensor(expected.at("folded_W1")),
            tolerance);
  CheckNear("folded b1", parts[seen.IndexOf("actor.b1")], ToTensor(expected.at("folded_b1")),
            tolerance);

  MaesnObjective objective(config, {.clip = {}, .kl_coef = test.at("kl_coef")}, tasks, weights,
                           lifetimes, pool);
  REQUIRE(objective.Prepare().ok());
  for (int64_t i = 0; i < tasks; ++i) {
    CheckNear("adapted mu", objective.adapted(i).mu, ToTensor(expected.at("mu_after"))[i],
              tolerance);
    objective.SetOldLogProbs(i, ToTensor(test.at("post_old_log_probs"))[i]);
  }
  const auto value = objective.Evaluate(weights);
  REQUIRE(value.ok());
  const double loss = ToTensor(expected.at("loss")).item<double>();
  CHECK(testing::Near(value->loss, loss, tolerance));
  const double divergence = test.at("kl_coef").get<double>() * kl / static_cast<double>(tasks);
  CHECK(testing::Near(divergence - value->loss,
                      ToTensor(expected.at("objective")).mean().item<double>(), tolerance));
  const auto gradient = objective.Gradient(weights);
  REQUIRE(gradient.ok());
  CheckNear("gradient", *gradient, Parameters(policy, expected.at("grad"), expected.at("grad")),
            tolerance);
}

TEST_CASE("golden: MAESN's adaptation step and outer loss", "[golden]") {
  const Json file = testing::ReadGolden("maesn");
  agents::WorkerPool pool(2);
  for (const Json& test : file.at("cases")) {
    CheckCase(test, testing::GoldenTolerance(file), nullptr);
    CheckCase(test, testing::GoldenTolerance(file), &pool);
  }
}

}  // namespace mentor::methods::TEST_FILE
