// A critic that sees gamma and lambda against golden numbers: values and gradients.
#include "methods/shared/critic.h"

#include <torch/csrc/autograd/autograd.h>

#include "tests/golden.h"

namespace mentor::testing::TEST_FILE {

using torch::Tensor;

TEST_CASE("golden: critic that sees gamma and lambda") {
  const Json file = ReadGolden("discount_critic");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const Json& weights = test.at("weights");
    const Tensor observations = ToTensor(test.at("observations"));
    const int64_t embedding = weights.at("embed.W").at("shape")[0];
    const agents::AgentShape shape{.observation_size = observations.size(1),
                                   .action_size = 1,
                                   .hidden_units = weights.at("critic.W1").at("shape")[0]};
    const signals::DiscountInput discounts{
        .embedding = embedding, .gamma = test.at("gamma"), .lambda = test.at("lambda")};
    const agents::ParamLayout layout = methods::CriticLayout(shape, embedding);
    std::vector<Tensor> parts;
    std::vector<std::string> names;
    for (const agents::ParamSlice& slice : layout.slices()) {
      names.push_back(slice.name);
      parts.push_back(ToTensor(weights.at(slice.name)).flatten());
    }
    CHECK(names == test.at("weight_order").get<std::vector<std::string>>());
    const Tensor theta = torch::cat(parts).unsqueeze(0).requires_grad_(true);
    const Json& expected = test.at("expected");
    CheckNear("embedding", methods::EmbedDiscounts(shape, theta, discounts)[0].detach(),
              ToTensor(expected.at("embedding")), GoldenTolerance(file));
    const Tensor values =
        methods::CriticValues(shape, theta, observations.unsqueeze(0), discounts)[0];
    CheckNear("values", values.detach(), ToTensor(expected.at("values")), GoldenTolerance(file));
    const Tensor gradient =
        torch::autograd::grad({(values * ToTensor(test.at("cotangent"))).sum()}, {theta})[0][0];
    for (const auto& [name, want] : expected.at("grad").items()) {
      CheckNear(name, layout.Part(name, gradient), ToTensor(want).flatten(), GoldenTolerance(file));
    }
  }
}

}  // namespace mentor::testing::TEST_FILE
