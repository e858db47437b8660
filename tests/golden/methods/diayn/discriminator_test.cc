// DIAYN's discriminator, its reward and its cross-entropy against diayn.json
// (methods/diayn/README.md), in float64.
#include "methods/diayn/discriminator.h"

#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "tests/golden.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::CheckNear;
using mentor::testing::Json;
using mentor::testing::Tolerance;
using mentor::testing::ToTensor;
using torch::Tensor;

Tensor Flat(const agents::ParamLayout& layout, const Json& named) {
  std::vector<Tensor> parts;
  for (const agents::ParamSlice& slice : layout.slices()) {
    parts.push_back(ToTensor(named.at(slice.name.substr(slice.name.find('.') + 1))));
    REQUIRE(parts.back().sizes().vec() == slice.shape);
    parts.back() = parts.back().flatten();
  }
  return torch::cat(parts);
}

void CheckCase(const Json& test, Tolerance tolerance) {
  INFO(test.at("name").get<std::string>());
  const Json& expected = test.at("expected");
  const Tensor next = ToTensor(test.at("next_observations")),
               skill = ToTensor(test.at("skill")).to(torch::kInt64);
  const int64_t skills = test.at("skills");
  const Discriminator discriminator(next.size(1), ToTensor(test.at("weights").at("b1")).numel(),
                                    skills);
  const Tensor weights = Flat(discriminator.layout(), test.at("weights")).requires_grad_();
  const Tensor log_q = discriminator.LogSkills(weights, next);
  CheckNear("log_q", log_q.detach(), ToTensor(expected.at("log_q")), tolerance);
  const Tensor own = log_q.gather(1, skill.unsqueeze(1)).squeeze(1);
  CheckNear("reward_log_d", own.detach(), ToTensor(expected.at("reward_log_d")), tolerance);
  CheckNear("reward", own.detach() + std::log(static_cast<double>(skills)),
            ToTensor(expected.at("reward")), tolerance);
  const Tensor loss = -own.mean();
  CheckNear("cross_entropy", loss.detach(), ToTensor(expected.at("cross_entropy")), tolerance);
  CheckNear("gradient", torch::autograd::grad({loss}, {weights})[0],
            Flat(discriminator.layout(), expected.at("grad")), tolerance);
  const double accuracy = (log_q.argmax(1) == skill).to(torch::kFloat64).mean().item<double>();
  CHECK(accuracy == Approx(expected.at("accuracy").get<double>()));
}

TEST_CASE("golden: DIAYN's discriminator and its rewards", "[golden]") {
  const Json file = testing::ReadGolden("diayn");
  for (const Json& test : file.at("cases")) CheckCase(test, testing::GoldenTolerance(file));
}

}  // namespace mentor::methods::TEST_FILE
