// The learned loss of evolved policy gradients against golden numbers: its value, its gradient with
// respect to policy and context, and how much of PPO's loss is mixed in.
#include <torch/csrc/autograd/autograd.h>

#include "agents/policy.h"
#include "methods/epg/loop.h"
#include "signals/signal_network.h"
#include "tests/golden/signal_fixture.h"
#include "tests/specs.h"

namespace mentor::testing::TEST_FILE {

using torch::Tensor;

std::unique_ptr<signals::SignalNetwork> NetworkOf(const Json& test) {
  v1::SignalSpec spec;
  spec.set_name("loss_conv");
  spec.set_role(v1::LOSS);
  Settings settings = {{"context", std::to_string(test.at("context_size").get<int64_t>())},
                       {"buffer", std::to_string(test.at("N").get<int64_t>())}};
  for (const auto& [name, size] : test.at("sizes").items())
    settings.emplace_back(name, std::to_string(size.get<int64_t>()));
  SetOptions(&spec, settings);
  Violations violations;
  auto network = signals::MakeSignalNetwork(spec,
                                            {.observation_size = test.at("D"),
                                             .action_size = test.at("A"),
                                             .role = v1::LOSS,
                                             .discrete_actions = test.at("discrete")},
                                            &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(network != nullptr);
  return network;
}

TEST_CASE("golden: learned loss") {
  const Json file = ReadGolden("epg_loss");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const auto network = NetworkOf(test);
    const int64_t agents = test.at("S"), newest = test.at("T"), steps = test.at("N");
    std::vector<Tensor> rows;
    for (const agents::ParamSlice& slice : network->layout().slices())
      rows.push_back(ToTensor(test.at("phi").at(slice.name)).reshape({agents, slice.size}));
    const Tensor phi = torch::cat(rows, 1);

    std::map<std::string, Tensor> theta;
    for (const auto& [name, value] : test.at("theta").items())
      theta[name] = ToTensor(value).requires_grad_(true);
    const Tensor observations = ToTensor(test.at("obs"));
    Tensor policy =
        agents::Forward({theta.at("actor.W1"), theta.at("actor.b1"), theta.at("actor.W2"),
                         theta.at("actor.b2"), theta.at("actor.W3"), theta.at("actor.b3")},
                        observations);
    const bool discrete = test.at("discrete");
    policy = discrete ? policy.softmax(-1)
                      : torch::cat({policy, theta.at("logstd").unsqueeze(1).expand_as(policy)}, 2);
    Tensor actions = ToTensor(test.at("act"));
    if (actions.dim() == 2)
      actions = torch::one_hot(actions.to(torch::kInt64), test.at("A").get<int64_t>())
                    .to(torch::kFloat64);
    const Tensor context = theta.contains("context") ? theta.at("context")
                                                     : torch::zeros({agents, 0}, torch::kFloat64);
    const Tensor loss = network->loss()->Loss(
        phi, {.observations = observations,
              .actions = actions,
              .rewards = ToTensor(test.at("reward")),
              .dones = ToTensor(test.at("done")),
              .policy = policy,
              .context = context,
              .rows = ToTensor(test.at("rows")).to(torch::kInt64) + steps - newest});
    const Json& expected = test.at("expected");
    CheckNear("loss", loss.detach(), ToTensor(expected.at("loss")), GoldenTolerance(file));
    for (const auto& [name, want] : expected.at("grad").items()) {
      const Tensor got = torch::autograd::grad({loss.sum()}, {theta.at(name)}, {}, true)[0];
      CheckNear(name, got, ToTensor(want), GoldenTolerance(file));
    }
  }
}

TEST_CASE("golden: how much of the loss is PPO's") {
  const Json file = ReadGolden("epg_mix");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const Tensor want = ToTensor(test.at("mix"));
    Tensor got = torch::zeros_like(want);
    for (int64_t u = 0; u < want.numel(); ++u) {
      got[u] = methods::MixOf(static_cast<uint32_t>(u), test.at("outer_updates"),
                              test.at("mix_fraction"), test.at("mix_final"));
    }
    CheckNear("mix", got, want, GoldenTolerance(file));
  }
}

}  // namespace mentor::testing::TEST_FILE
