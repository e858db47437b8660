#include "methods/response_gradient/conditioned_policy.h"

#include <cmath>
#include <cstring>

#include "signals/signal_network.h"
#include "tests/conformance/recorded_lifetimes.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::RandomNormals;
using torch::Tensor;

agents::AgentShape Shape(bool discrete = false) {
  return {.observation_size = 3,
          .action_size = 2,
          .hidden_units = 5,
          .discrete = discrete,
          .output_gain = 0.5};
}

TEST_CASE("conditioned policy: new parameters", "[unit]") {
  constexpr int64_t kEta = 11;
  const agents::ParamLayout layout = ConditionedLayout(Shape(), kEta);
  const RandomStream stream{.seed = 4, .purpose = Purpose::kAgentWeights};
  const Tensor theta = InitialParameters(layout, Shape(), 0.6, 0.3, stream, 0).unsqueeze(0);
  const ConditionedPolicy policy = SplitConditioned(layout, theta);
  CHECK(policy.gain_bias.eq(1).all().item<bool>());
  CHECK(policy.offset_bias.eq(0).all().item<bool>());
  CHECK(policy.mlp.b3.eq(0).all().item<bool>());
  CHECK(policy.log_std[0][1].item<double>() == Approx(std::log(0.6)));
  CHECK(policy.gain_map.std().item<double>() == Approx(0.3).epsilon(0.35));
  CHECK_FALSE(torch::equal(policy.gain_map, policy.offset_map));
  const Tensor w3 = policy.mlp.w3[0];
  CHECK((torch::mm(w3, w3.t()) - 0.25 * torch::eye(2)).abs().max().item<double>() < 1e-5);
  CHECK_FALSE(SplitConditioned(ConditionedLayout(Shape(true), kEta),
                               torch::zeros({1, ConditionedLayout(Shape(true), kEta).size()}))
                  .log_std.defined());
}

TEST_CASE("conditioned policy: weights for actors are the parameters, gain and offset", "[unit]") {
  constexpr int64_t kEta = 4;
  for (const bool discrete : {false, true}) {
    const agents::AgentShape shape = Shape(discrete);
    const agents::ParamLayout layout = ConditionedLayout(shape, kEta);
    const Tensor theta = RandomNormals({2, layout.size()}, 1);
    const ConditionedPolicy policy = SplitConditioned(layout, theta);
    const Modulation modulation = Fold(policy, RandomNormals({2, 3, kEta}, 2));
    const auto policies = ToPolicyWeights(shape, policy, modulation);
    REQUIRE(policies.size() == 6);
    const v1::PolicyWeights& fourth = policies[1 * 3 + 1];  // Agent 1, part 1.
    CHECK(fourth.network() == v1::POLICY_NETWORK_LAYER_NORM);
    CHECK(fourth.discrete() == discrete);
    std::vector<float> got(fourth.weights().size() / sizeof(float));
    std::memcpy(got.data(), fourth.weights().data(), fourth.weights().size());
    std::vector<Tensor> want = {policy.mlp.w1[1].flatten(), policy.mlp.b1[1],
                                policy.mlp.w2[1].flatten(), policy.mlp.b2[1],
                                policy.mlp.w3[1].flatten(), policy.mlp.b3[1]};
    if (!discrete) want.push_back(policy.log_std[1]);
    want.push_back(modulation.gain[1][1]);
    want.push_back(modulation.offset[1][1]);
    const Tensor all = torch::cat(want);
    REQUIRE(static_cast<int64_t>(got.size()) == all.numel());
    CHECK(torch::equal(torch::tensor(got, torch::kFloat32), all));
  }
}

TEST_CASE("conditioned policy: FiLM and maps with hidden layers", "[unit]") {
  constexpr int64_t kEta = 4;
  const agents::AgentShape shape = Shape();
  for (const Conditioning& conditioning :
       {Conditioning{.layers = 2, .units = 6}, Conditioning{.film = true},
        Conditioning{.layers = 1, .units = 3, .film = true}}) {
    const agents::ParamLayout layout = ConditionedLayout(shape, kEta, conditioning);
    const Tensor theta = RandomNormals({2, layout.size()}, 1, torch::kFloat64);
    const ConditionedPolicy policy = SplitConditioned(layout, theta);
    CHECK(policy.film == conditioning.film);
    CHECK(policy.log_std.defined());
    CHECK(static_cast<int64_t>(policy.gain_hidden.size()) == 2 * conditioning.layers);
    CHECK(policy.offset_hidden.size() == policy.gain_hidden.size());
    const Tensor eta = RandomNormals({2, 3, kEta}, 2, torch::kFloat64);
    const Modulation modulation = Fold(policy, eta);
    // Another eta acts otherwise, through every layer of the maps.
    const Tensor other = Fold(policy, eta + 0.5).gain;
    CHECK((modulation.gain - other).abs().min().item<double>() > 0);
    Tensor x = eta;
    for (size_t i = 0; i < policy.gain_hidden.size(); i += 2) {
      x = torch::tanh(torch::bmm(x, policy.gain_hidden[i].transpose(1, 2)) +
                      policy.gain_hidden[i + 1].unsqueeze(1));
    }
    const Tensor gain =
        torch::bmm(x, policy.gain_map.transpose(1, 2)) + policy.gain_bias.unsqueeze(1);
    CHECK(torch::allclose(modulation.gain, gain, 1e-12, 1e-12));
    // New parameters: the last maps are normal, their biases 1 and 0.
    const RandomStream stream{.seed = 4, .purpose = Purpose::kAgentWeights};
    const ConditionedPolicy fresh = SplitConditioned(
        layout, InitialParameters(layout, shape, 0.6, 0.3, stream, 0).unsqueeze(0));
    CHECK(fresh.gain_bias.eq(1).all().item<bool>());
    CHECK(fresh.offset_bias.eq(0).all().item<bool>());
    for (const Tensor& one : fresh.gain_hidden) CHECK(one.isfinite().all().item<bool>());
  }
}

TEST_CASE("conditioned policy: actors of FiLM get a plain network that acts alike", "[unit]") {
  const agents::AgentShape shape = Shape();
  const agents::ParamLayout layout = ConditionedLayout(shape, 4, {.film = true});
  const ConditionedPolicy policy = SplitConditioned(layout, RandomNormals({2, layout.size()}, 1));
  const Modulation modulation = Fold(policy, RandomNormals({2, 3, 4}, 2));
  const auto policies = ToPolicyWeights(shape, policy, modulation);
  REQUIRE(policies.size() == 6);
  const v1::PolicyWeights& fourth = policies[1 * 3 + 1];  // Agent 1, part 1.
  CHECK(fourth.network() == v1::POLICY_NETWORK_MLP);
  agents::AgentShape plain = shape;
  plain.critic = false;
  const agents::ParamLayout plain_layout = agents::AgentLayout(plain);
  Tensor weights = torch::empty({1, plain_layout.size()});
  REQUIRE(fourth.weights().size() == weights.nbytes());
  std::memcpy(weights.mutable_data_ptr(), fourth.weights().data(), weights.nbytes());
  const Tensor observations = RandomNormals({2, 7, 3}, 3);
  const Tensor acted =
      Forward(agents::SplitAgents(plain_layout, weights).policy, observations.narrow(0, 1, 1));
  const Tensor learned = Forward(
      policy, {modulation.gain.narrow(1, 1, 1), modulation.offset.narrow(1, 1, 1)}, observations);
  CHECK(torch::allclose(acted[0], learned[1], 1e-5, 1e-5));
}

TEST_CASE("conditioned policy: rows have their own gain and offset, or all the same", "[unit]") {
  const agents::ParamLayout layout = ConditionedLayout(Shape(), 4);
  const ConditionedPolicy policy =
      SplitConditioned(layout, RandomNormals({2, layout.size()}, 1, torch::kFloat64));
  const Tensor observations = RandomNormals({2, 6, 3}, 2, torch::kFloat64);
  const Modulation parts = Fold(policy, RandomNormals({2, 2, 4}, 3, torch::kFloat64));
  const Tensor rows =
      Forward(policy, {parts.gain.repeat_interleave(3, 1), parts.offset.repeat_interleave(3, 1)},
              observations);
  const Modulation second{parts.gain.narrow(1, 1, 1), parts.offset.narrow(1, 1, 1)};
  const Tensor late = Forward(policy, second, observations.narrow(1, 3, 3));
  CHECK((rows.narrow(1, 3, 3) - late).abs().max().item<double>() < 1e-12);
  CHECK((rows - Forward(policy, second, observations)).abs().max().item<double>() > 1e-2);
  // Where only the scale of the second layer differs, normalisation takes it away.
  ConditionedPolicy scaled = policy;
  scaled.mlp.w2 = 100 * policy.mlp.w2;
  scaled.mlp.b2 = 100 * policy.mlp.b2;
  CHECK((Forward(scaled, second, observations) - Forward(policy, second, observations))
            .abs()
            .max()
            .item<double>() < 1e-3);
}

TEST_CASE("bottleneck: the last weights are what policies see", "[unit]") {
  v1::SignalSpec spec;
  spec.set_name("bottleneck");
  Violations violations;
  const auto network =
      signals::MakeSignalNetwork(spec, {.observation_size = 3, .action_size = 2}, &violations);
  REQUIRE(network != nullptr);
  CHECK(network->gradient()->conditioning_size() == 64 * 4 + 2 * 4 + 1);
  CHECK(network->layout().size() == 64 * 5 + 64 + 64 * 64 + 64 + 265);
  CHECK(network->gradient() != nullptr);
  CHECK(network->density() == nullptr);
  Tensor weights = network->InitialWeights(1);
  agents::Segment segment = mentor::testing::RandomSegment(2, 10, 5);
  signals::SignalState state = network->signals()->InitialState(2, torch::kFloat32);
  const Tensor signals = network->signals()->Run(weights, segment, {}, &state).signals;
  CHECK(signals.abs().max().item<double>() < 1);
  CHECK(signals.std().item<double>() > 0.05);
  weights.narrow(0, weights.numel() - 265, 265).zero_();
  CHECK(network->signals()->Run(weights, segment, {}, &state).signals.abs().max().item<double>() ==
        0);
}

}  // namespace mentor::methods::TEST_FILE
