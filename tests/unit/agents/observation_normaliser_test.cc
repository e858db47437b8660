// Running normalisation of observations: the same as over all data at once, and invisible to
// actors.
#include "agents/observation_normaliser.h"

#include "agents/policy.h"
#include "tests/normals.h"
#include "tests/torch_testing.h"

namespace mentor::agents::TEST_FILE {

torch::Tensor Observations(int64_t agents, int64_t steps, uint32_t lifetime) {
  const RandomStream stream{.seed = 5, .purpose = Purpose::kTest, .lifetime = lifetime};
  const torch::Tensor scale = torch::tensor({0.1, 2.0, 50.0}, torch::kFloat64);
  const torch::Tensor shift = torch::tensor({5.0, -1.0, 0.0}, torch::kFloat64);
  return testing::Normals(stream, 0, {agents, steps, 3}, torch::kFloat64) * scale + shift;
}

TEST_CASE("observation normaliser: segment by segment it is the mean and std of all", "[unit]") {
  ObservationNormaliser normaliser(/*enabled=*/true, 2, 3);
  std::vector<torch::Tensor> all;
  for (uint32_t i = 0; i < 4; ++i) {
    all.push_back(Observations(2, 5 + 7 * i, i));
    normaliser.Add(all.back());
  }
  const torch::Tensor x = torch::cat(all, 1);
  const torch::Tensor want = (x - x.mean(1, /*keepdim=*/true)) /
                             (x.var(1, /*unbiased=*/false, /*keepdim=*/true) + 1e-8).sqrt();
  CHECK(torch::allclose(normaliser.Normalise(x), want, 1e-12, 1e-12));
}

TEST_CASE("observation normaliser: each agent and each number has its own mean and deviation",
          "[unit]") {
  ObservationNormaliser normaliser(/*enabled=*/true, 2, 3);
  // Agent 0 sees 0 and 2 twice, agent 1 what is 10 and 100 times as large, and shifted.
  const auto seen = [](double a, double b, double c) {
    return torch::tensor({a, b, c}, torch::kFloat64);
  };
  const torch::Tensor first = torch::stack({torch::stack({seen(0, 0, 0), seen(2, 4, 8)}),
                                            torch::stack({seen(10, 100, 5), seen(30, 500, 5)})}),
                      again = first.clone();
  normaliser.Add(first);
  normaliser.Add(again);
  const torch::Tensor want = torch::stack(
      {torch::cat({torch::tensor({4.0}, torch::kFloat64), seen(1, 2, 4), seen(4, 16, 64)}),
       torch::cat(
           {torch::tensor({4.0}, torch::kFloat64), seen(20, 300, 5), seen(400, 160'000, 0)})});
  CHECK(torch::equal(normaliser.state(), want));
  // What one agent sees moves nobody else.
  torch::Tensor other = again.clone();
  other[1] += 1000;
  ObservationNormaliser beside(true, 2, 3);
  beside.Add(first);
  beside.Add(other);
  CHECK(torch::equal(beside.state()[0], normaliser.state()[0]));
  CHECK_FALSE(torch::equal(beside.state()[1], normaliser.state()[1]));
}

TEST_CASE("observation normaliser: before the first segment, and disabled, nothing changes",
          "[unit]") {
  const torch::Tensor x = Observations(2, 4, 9);
  CHECK(ObservationNormaliser(true, 2, 3).Normalise(x).equal(x));
  ObservationNormaliser off(false, 2, 3);
  off.Add(x);
  CHECK(off.Normalise(x).equal(x));
  CHECK(off.state().numel() == 0);
}

TEST_CASE(
    "observation normaliser: a folded policy acts on raw observations as the plain one on "
    "normalised",
    "[unit]") {
  const AgentShape shape{.observation_size = 3, .action_size = 2, .hidden_units = 8};
  const uint32_t lifetimes[] = {0, 1};
  const torch::Tensor theta =
      InitialTheta(shape, 1.0, 3, Phase::kTraining, lifetimes).to(torch::kFloat64);
  ObservationNormaliser normaliser(true, 2, 3);
  normaliser.Add(Observations(2, 40, 1));
  const torch::Tensor x = Observations(2, 10, 2);
  const auto mean = [&](const torch::Tensor& weights, const torch::Tensor& inputs) {
    return Forward(SplitAgents(AgentLayout(shape), weights).policy, inputs);
  };
  CHECK(torch::allclose(mean(normaliser.Fold(shape, theta), x),
                        mean(theta, normaliser.Normalise(x)), 1e-10, 1e-12));
  // The critic is the learner's own: it sees normalised observations.
  const int64_t actor = AgentLayout(shape).slices()[AgentLayout(shape).IndexOf("critic.W1")].offset;
  const torch::Tensor folded = normaliser.Fold(shape, theta);
  CHECK(folded.narrow(1, actor, theta.size(1) - actor)
            .equal(theta.narrow(1, actor, theta.size(1) - actor)));
}

}  // namespace mentor::agents::TEST_FILE
