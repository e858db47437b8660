// Episodes that a limit cut short, where they do not count as ends: values at their steps, and the
// advantage under learned gamma and lambda.
#include <cmath>

#include "agents/gae.h"
#include "signals/signal_network.h"
#include "tests/conformance/recorded_lifetimes.h"

namespace mentor::signals::TEST_FILE {

using mentor::testing::RandomNormals;
using mentor::testing::RandomSegment;
using torch::Tensor;

constexpr int64_t kSteps = 35;  // Episodes of 10 steps.

// Lifetime 0 is cut after its first and third episode, lifetime 1 after its second; the other
// episodes end by themselves.
agents::Segment Truncated() {
  agents::Segment segment = RandomSegment(2, kSteps, 40);
  segment.truncated = torch::zeros({2, kSteps});
  for (const auto& [s, t] : {std::pair{0, 9}, {0, 29}, {1, 19}}) segment.truncated[s][t] = 1;
  segment.final_values = agents::AtTruncations(RandomNormals({2, 4}, 7), segment.truncated);
  return segment;
}

TEST_CASE("truncation: packed values come to their steps", "[unit]") {
  Tensor packed = RandomNormals({2, 4}, 7);
  Tensor truncated = torch::zeros({2, kSteps});
  for (const auto& [s, t] : {std::pair{0, 9}, {0, 29}, {1, 0}}) truncated[s][t] = 1;
  const Tensor values = agents::AtTruncations(packed, truncated);
  Tensor want = torch::zeros({2, kSteps});
  want[0][9] = packed[0][0];
  want[0][29] = packed[0][1];
  want[1][0] = packed[1][0];
  CHECK(values.equal(want));
  // The unused rest of the room does not matter.
  packed[0][2] = packed[1][1] = std::nan("");
  CHECK(agents::AtTruncations(packed, truncated).equal(want));
  CHECK(agents::AtTruncations(packed, torch::zeros_like(truncated)).eq(0).all().item<bool>());
}

TEST_CASE("truncation: nothing that follows an end has weight, not even what is not finite",
          "[unit]") {
  const agents::Segment segment = Truncated();
  const auto gae = [&](const Tensor& values, const Tensor& final_values) {
    return agents::Gae(segment.shaped_rewards, values, segment.prev_done, segment.last_done,
                       segment.last_values, 0.9, 0.8, {segment.truncated, final_values})
        .advantages;
  };
  const Tensor want = gae(segment.values, segment.final_values);
  // The step before a new episode does not see its value.
  Tensor values = segment.values.clone();
  values[0][10] = std::nan("");
  CHECK(gae(values, segment.final_values)[0].narrow(0, 0, 10).equal(want[0].narrow(0, 0, 10)));
  Tensor elsewhere = segment.final_values.clone();
  elsewhere[0][19] = std::nan("");  // A termination.
  CHECK(gae(segment.values, elsewhere).equal(want));
  // The bootstrap of step 9 reaches back with gamma lambda, and not forward.
  Tensor more = segment.final_values.clone();
  more[0][9] += 1;
  const Tensor change = gae(segment.values, more) - want;
  for (int64_t t = 0; t < kSteps; ++t) {
    INFO(t);
    CHECK(change[0][t].item<double>() ==
          Approx(t <= 9 ? 0.9 * std::pow(0.9 * 0.8, 9 - t) : 0).margin(1e-12));
  }
}

TEST_CASE("truncation: learned gamma and lambda see it too, with their slopes", "[unit]") {
  const agents::Segment segment = Truncated();
  v1::SignalSpec spec;
  spec.set_name("discount");
  spec.set_role(v1::ADVANTAGE);
  spec.set_input(v1::SHAPED);
  Violations violations;
  const auto network = MakeSignalNetwork(spec,
                                         {.observation_size = mentor::testing::kObservationSize,
                                          .action_size = mentor::testing::kActionSize,
                                          .role = v1::ADVANTAGE,
                                          .input = v1::SHAPED},
                                         &violations);
  REQUIRE(network != nullptr);
  const auto signals = [&](const Tensor& logits) {
    SignalState state = network->signals()->InitialState(2, torch::kFloat64);
    return network->gradient()->Signals(logits, segment, &state);
  };
  const Tensor logits = torch::tensor({2.0, 1.5}, torch::kFloat64).requires_grad_(true);
  const Tensor at = signals(logits), p = torch::sigmoid(logits).detach();
  CHECK(torch::allclose(at.detach(),
                        agents::Gae(segment.shaped_rewards, segment.values, segment.prev_done,
                                    segment.last_done, segment.last_values, p[0].item<double>(),
                                    p[1].item<double>(), {segment.truncated, segment.final_values})
                            .advantages,
                        1e-12, 1e-12));
  const Tensor weight = RandomNormals({2, kSteps}, 8, torch::kFloat64);
  const Tensor slope = torch::autograd::grad({(at * weight).sum()}, {logits})[0];
  for (int64_t i = 0; i < 2; ++i) {
    const double h = 1e-5;
    Tensor step = torch::zeros({2}, torch::kFloat64);
    step[i] = h;
    const double want =
        ((signals(logits.detach() + step) - signals(logits.detach() - step)) * weight)
            .sum()
            .item<double>() /
        (2 * h);
    CHECK(std::abs(want) > 1e-2);
    CHECK(slope[i].item<double>() == Approx(want).epsilon(1e-6));
  }
}

}  // namespace mentor::signals::TEST_FILE
