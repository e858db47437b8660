// RL^2 against golden/rl2.json: acting with fed-back actions, advantages over the lifetime, loss
// and gradient of every piece.
#include <limits>

#include "methods/rl2/recurrent_policy.h"
#include "methods/rl2/rule.h"
#include "methods/shared/meta_advantage.h"
#include "methods/shared/outer_ppo.h"
#include "tests/golden/signal_fixture.h"

namespace mentor::methods::TEST_FILE {

using namespace mentor::testing;
using torch::Tensor;

RecurrentPolicy PolicyOf(const Json& test) {
  return {.observation_size = test.at("D"),
          .action_size = test.at("A"),
          .encoder1 = test.at("E1"),
          .encoder2 = test.at("E2"),
          .lstm = test.at("H"),
          .heads = test.at("M"),
          .critic = test.at("C")};
}

// The file's std is initial_std * exp(output), ours has the factor in the last bias.
Tensor WeightsOf(const RecurrentPolicy& policy, const Json& test, const char* name) {
  const agents::ParamLayout layout = policy.Layout();
  Tensor weights = GoldenFlat(layout, test.at(name), torch::kFloat64);
  const agents::ParamSlice& bias = layout.slices()[layout.IndexOf("logstd.b2")];
  weights.narrow(0, bias.offset, bias.size).add_(std::log(test.at("initial_std").get<double>()));
  return weights;
}

// Lives through the lifetimes step by step; checks what the network says and does.
agents::Segment Act(const Json& file, const Json& test, const RecurrentPolicy& policy,
                    Tensor* values) {
  const Json& want = test.at("expected").at("rollout");
  const Tensor weights = WeightsOf(policy, test, "weights_rollout");
  const Tensor noise = ToTensor(test.at("noise"));
  const int64_t lifetimes = test.at("S"), length = test.at("L");
  agents::Segment steps;
  steps.observations = ToTensor(test.at("obs"));
  steps.success_signals = ToTensor(test.at("success"));
  steps.prev_done = ToTensor(test.at("prev_done"));
  steps.actions = torch::zeros_like(noise);
  std::vector<Tensor> state = policy.InitialState(lifetimes, torch::kFloat64);
  std::vector<Tensor> mean, std, value, log_prob, entropy;
  for (int64_t t = 0; t < length; ++t) {
    // Actions of later steps are still zero; features of step t see only earlier ones.
    const RecurrentOutputs now =
        policy.Forward(weights, RecurrentFeatures(steps).narrow(1, t, 1), state);
    state = now.final_state;
    const Tensor action = now.mean + now.log_std.exp() * noise.narrow(1, t, 1);
    steps.actions.narrow(1, t, 1).copy_(action);
    mean.push_back(now.mean);
    std.push_back(now.log_std.exp());
    value.push_back(now.values);
    log_prob.push_back(RecurrentLogProb(now, action));
    entropy.push_back(RecurrentEntropy(now));
  }
  const auto check = [&](const char* name, const std::vector<Tensor>& got) {
    CheckNear(name, torch::cat(got, 1), ToTensor(want.at(name)), GoldenTolerance(file));
  };
  check("mean", mean);
  check("std", std);
  check("value", value);
  check("logp", log_prob);
  check("entropy", entropy);
  CheckNear("act", steps.actions, ToTensor(want.at("act")), GoldenTolerance(file));
  steps.log_probs = torch::cat(log_prob, 1);
  *values = torch::cat(value, 1);
  return steps;
}

TEST_CASE("golden: RL^2 acts, values its lifetime and learns as the reference does") {
  const Json file = ReadGolden("rl2");
  const Tolerance tolerance = GoldenTolerance(file);
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const Json& expected = test.at("expected");
    const RecurrentPolicy policy = PolicyOf(test);
    Tensor values;
    const agents::Segment steps = Act(file, test, policy, &values);

    const Tensor rewards = ToTensor(test.at("rewards_normalised"));
    const MetaAdvantageConfig config{
        .estimator = MetaEstimator::kGae, .gamma = test.at("gamma"), .lambda = test.at("lambda")};
    Tensor advantages = torch::empty_like(rewards), returns = torch::empty_like(rewards);
    const auto length = static_cast<size_t>(rewards.size(1));
    for (int64_t l = 0; l < rewards.size(0); ++l) {
      const Tensor reward = rewards[l].contiguous(), value = values[l].contiguous();
      const Tensor prev_done = steps.prev_done[l].to(torch::kUInt8).contiguous();
      const MetaAdvantages estimate = EstimateMetaAdvantages(
          config, {reward.const_data_ptr<double>(), length},
          {value.const_data_ptr<double>(), length}, {prev_done.const_data_ptr<uint8_t>(), length});
      advantages[l].copy_(torch::tensor(estimate.advantages, torch::kFloat64));
      returns[l].copy_(torch::tensor(estimate.returns, torch::kFloat64));
    }
    CheckNear("advantages", advantages, ToTensor(expected.at("meta_adv_raw")), tolerance);
    CheckNear("returns", returns, ToTensor(expected.at("meta_ret")), tolerance);
    const OuterPpoBatch batch{.features = RecurrentFeatures(steps),
                              .cut_features = {},
                              .outputs = steps.actions,
                              .log_probs = steps.log_probs,
                              .advantages = StandardiseAdvantages(advantages),
                              .returns = returns};
    CheckNear("standardised", batch.advantages, ToTensor(expected.at("meta_adv_normalised")),
              tolerance);

    const Json& loss = test.at("config");
    const OuterPpoConfig ppo{.loss = {.clip = loss.at("clip"),
                                      .entropy_coef = loss.at("entropy_coef"),
                                      .value_coef = loss.at("value_coef")},
                             .k = loss.at("k")};
    const TrainedNetwork network = TrainedPolicy(policy);
    const Tensor weights = WeightsOf(policy, test, "weights_update");
    auto recurrent = policy.InitialState(rewards.size(0), torch::kFloat64);
    const auto pieces = SplitIntoPieces(rewards.size(1), ppo.k, test.at("displacement"));
    REQUIRE(pieces.size() == expected.at("pieces").size());
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Json& want = expected.at("pieces")[i];
      INFO("piece " << want.at("begin") << " to " << want.at("end"));
      CHECK(pieces[i].begin == want.at("begin").get<int64_t>());
      CHECK(pieces[i].end == want.at("end").get<int64_t>());
      CheckNear("entering h", recurrent[0], ToTensor(want.at("h_in")), tolerance);
      CheckNear("entering c", recurrent[1], ToTensor(want.at("c_in")), tolerance);
      auto got = EvaluatePiece(network, ppo, batch, pieces[i], weights, recurrent, nullptr);
      REQUIRE(got.ok());
      CHECK(Near(got->report.pg_loss, want.at("pg_loss"), tolerance));
      CHECK(Near(got->report.entropy, want.at("entropy"), tolerance));
      CHECK(Near(got->report.value_loss, want.at("v_loss"), tolerance));
      CHECK(Near(got->report.kl, want.at("approx_kl"), tolerance));
      CHECK(Near(got->report.loss, want.at("loss"), tolerance));
      const agents::ParamLayout layout = policy.Layout();
      const auto parts = layout.Split(got->gradient);
      for (size_t p = 0; p < parts.size(); ++p) {
        const std::string& name = layout.slices()[p].name;
        CheckNear("gradient of " + name, parts[p], ToTensor(want.at("grad").at(name)), tolerance);
      }
      recurrent = got->final_recurrent;
    }
  }
}

}  // namespace mentor::methods::TEST_FILE
