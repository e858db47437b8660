// MAML's adaptation step and outer step against maml.json
// (methods/maml/README.md#maml), in float64 and, more loosely, in float32.
#include "methods/maml/objective.h"

#include <torch/csrc/autograd/autograd.h>

#include "methods/maml/loop.h"
#include "tests/golden/signal_fixture.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::CheckNear;
using mentor::testing::GoldenFlat;
using mentor::testing::Json;
using mentor::testing::Tolerance;
using mentor::testing::ToTensor;
using torch::Tensor;

AdaptationConfig ReadConfig(const Json& test) {
  return {.policy = {.observation_size = test.at("D"),
                     .action_size = test.at("A"),
                     .hidden_units = test.at("H")},
          .steps = 1,
          .learning_rate = test.at("lr"),
          .gamma = test.at("gamma")};
}

// One lifetime, and checks of its adaptation step.
MamlLifetime ReadTask(const Json& test, const Json& task, torch::Dtype dtype, Tolerance tolerance) {
  const MonteCarlo estimate =
      MonteCarloAdvantages(ToTensor(task.at("rewards")), ToTensor(task.at("prev_done")),
                           test.at("gamma"), test.at("mean_reward"));
  CheckNear("returns", estimate.returns, ToTensor(task.at("returns")), tolerance);
  CheckNear("baseline", estimate.baseline, ToTensor(task.at("baseline")), tolerance);
  CheckNear("advantages", estimate.advantages, ToTensor(task.at("advantages")), tolerance);
  const MonteCarlo meta =
      MonteCarloAdvantages(ToTensor(task.at("meta_rewards")),
                           ToTensor(task.value("meta_prev_done", task.at("prev_done"))),
                           test.at("gamma"), test.at("meta_mean_reward"));
  CheckNear("meta advantages", meta.advantages, ToTensor(task.at("meta_advantages")), tolerance);
  return {.adaptation = {{.observations = ToTensor(task.at("obs"), dtype),
                          .actions = ToTensor(task.at("act"), dtype),
                          .advantages = estimate.advantages.to(dtype),
                          .old_log_probs = {}}},
          .meta = {.observations = ToTensor(task.at("meta_obs"), dtype),
                   .actions = ToTensor(task.at("meta_act"), dtype),
                   .advantages = meta.advantages.to(dtype),
                   .old_log_probs = {}}};
}

void CheckCase(const Json& test, torch::Dtype dtype, Tolerance tolerance,
               agents::WorkerPool* pool) {
  INFO(test.at("name").get<std::string>());
  const AdaptationConfig config = ReadConfig(test);
  const StateStdPolicy policy(config.policy);
  std::vector<std::string> names;
  for (const agents::ParamSlice& slice : policy.layout().slices()) names.push_back(slice.name);
  REQUIRE(names == test.at("param_order").get<std::vector<std::string>>());

  const Tensor base = GoldenFlat(policy.layout(), test.at("base"), dtype);
  std::vector<MamlLifetime> lifetimes;
  for (const Json& task : test.at("tasks")) {
    lifetimes.push_back(ReadTask(test, task, dtype, tolerance));
    const Tensor at = base.clone().requires_grad_();
    const Tensor loss = PolicyGradientLoss(policy, at, lifetimes.back().adaptation.front());
    CheckNear("loss", loss.detach(), ToTensor(task.at("loss")), tolerance);
    CheckNear("gradient", torch::autograd::grad({loss}, {at})[0],
              GoldenFlat(policy.layout(), task.at("grad"), dtype), tolerance);
  }

  MamlObjective objective(config, /*first_order=*/true, base, std::move(lifetimes), pool);
  REQUIRE(objective.Prepare().ok());
  for (size_t i = 0; i < test.at("tasks").size(); ++i) {
    CheckNear("adapted", objective.adapted(static_cast<int64_t>(i)),
              GoldenFlat(policy.layout(), test.at("tasks")[i].at("adapted"), dtype), tolerance);
  }

  const Json& trpo = test.at("trpo");
  const Json& expected = test.at("expected");
  TrpoProblem problem;
  const auto gradient = objective.Gradient();
  REQUIRE(gradient.ok());
  problem.gradient = *gradient;
  CheckNear("g", problem.gradient, ToTensor(expected.at("g")), tolerance);
  const auto here = objective.Evaluate(torch::zeros_like(problem.gradient));
  REQUIRE(here.ok());
  problem.loss = here->loss;
  CHECK(std::abs(problem.loss - expected.at("loss_before").get<double>()) <= tolerance.abs);
  CHECK(std::abs(here->kl) <= tolerance.abs);
  problem.hessian_vector = [&](const Tensor& v) { return objective.HessianVector(v); };
  problem.evaluate = [&](const Tensor& d) { return objective.Evaluate(d); };
  const auto result = RunTrpo({.max_kl = trpo.at("max_kl"),
                               .damping = trpo.at("damping"),
                               .cg_steps = trpo.at("cg_iters"),
                               .line_search_start = trpo.at("line_search_start"),
                               .line_search_factor = trpo.at("line_search_ratio"),
                               .line_search_tries = trpo.at("line_search_max")},
                              problem);
  REQUIRE(result.ok());
  CheckNear("direction", result->direction, ToTensor(expected.at("cg_direction")), tolerance);
  CheckNear("step", result->step, ToTensor(expected.at("step")), tolerance);
  const Tensor rows = ToTensor(expected.at("line_search"));
  REQUIRE(static_cast<int64_t>(result->tries.size()) == rows.size(0));
  for (size_t i = 0; i < result->tries.size(); ++i) {
    const TrpoTry& row = result->tries[i];
    CheckNear("line search",
              torch::tensor({row.alpha, row.value.loss, row.value.kl}, torch::kFloat64),
              rows[static_cast<int64_t>(i)], tolerance);
  }
  Tensor after = base.to(torch::kFloat64);
  if (!expected.at("alpha").is_null()) {
    REQUIRE(result->alpha.has_value());
    CHECK(testing::Near(*result->alpha, expected.at("alpha"), tolerance));
    after = after - *result->alpha * result->step;
  } else {
    CHECK_FALSE(result->alpha.has_value());
  }
  CheckNear("weights after", after,
            GoldenFlat(policy.layout(), expected.at("base_after"), torch::kFloat64), tolerance);
}

TEST_CASE("golden: MAML's adaptation step and outer step", "[golden]") {
  const Json file = testing::ReadGolden("maml");
  agents::WorkerPool pool(2);
  for (const Json& test : file.at("cases")) {
    CheckCase(test, torch::kFloat64, testing::GoldenTolerance(file), nullptr);
    CheckCase(test, torch::kFloat64, testing::GoldenTolerance(file), &pool);
    CheckCase(test, torch::kFloat32, {.rel = 2e-2, .abs = 1e-3}, &pool);
  }
}

}  // namespace mentor::methods::TEST_FILE
