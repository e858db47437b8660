// LPO's drift and its slope, and how its evolution strategies weigh and shrink perturbations,
// against lpo_drift.json and lpo_outer.json (methods/lpo/README.md), in float64.
#include <torch/csrc/autograd/autograd.h>

#include "methods/lpo/drift.h"
#include "methods/shared/evolution_strategies.h"
#include "tests/golden.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::CheckNear;
using mentor::testing::GoldenTolerance;
using mentor::testing::Json;
using mentor::testing::ReadGolden;
using mentor::testing::ToTensor;
using torch::Tensor;

TEST_CASE("golden: LPO's drift and its slope, and none of the slips", "[golden]") {
  const Json file = ReadGolden("lpo_drift");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const DriftNetwork network(
        {.hidden = test.at("hidden"), .xi = test.at("xi"), .from_ppo = test.at("from_ppo")});
    const Tensor weights =
        torch::cat({ToTensor(test.at("W1")).flatten(1), ToTensor(test.at("W2")).flatten(1)}, 1);
    REQUIRE(weights.size(1) == network.layout().size());
    const Tensor log_ratio = ToTensor(test.at("log_ratio")).requires_grad_();
    const Tensor drift =
        network.Drift(weights, log_ratio, ToTensor(test.at("advantages")), test.at("clip"));
    const Json& expected = test.at("expected");
    const auto tolerance = GoldenTolerance(file);
    CheckNear("drift", drift.detach(), ToTensor(expected.at("drift")), tolerance);
    CheckNear("slope", torch::autograd::grad({drift.sum()}, {log_ratio})[0],
              ToTensor(expected.at("slope")), tolerance);
    for (const auto& [slip, wrong] : expected.at("wrong").items()) {
      INFO(slip);
      // More than a tenth of xi is no rounding.
      CHECK((drift.detach() - ToTensor(wrong)).abs().max().item<double>() >
            0.1 * test.at("xi").get<double>());
    }
  }
}

TEST_CASE("golden: how LPO's perturbations are weighed and shrink", "[golden]") {
  const Json file = ReadGolden("lpo_outer");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    if (test.contains("scores")) {
      const auto groups = test.at("groups").get<std::vector<std::string>>();
      const Tensor scores = StandardScores(ToTensor(test.at("fitness")), groups);
      CheckNear("scores", scores, ToTensor(test.at("scores")), GoldenTolerance(file));
      continue;
    }
    const Decay decay{.factor = test.at("factor"), .least = test.at("least")};
    const Tensor want = ToTensor(test.at("falling"));
    Tensor got = torch::zeros_like(want);
    for (int64_t i = 0; i < want.numel(); ++i) {
      got[i] = Decayed(test.at("first"), decay,
                       test.at("updates")[static_cast<size_t>(i)].get<uint32_t>());
    }
    CheckNear("falling", got, want, GoldenTolerance(file));
  }
}

}  // namespace mentor::methods::TEST_FILE
