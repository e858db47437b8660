#include "agents/agent_shape.h"

#include "agents/param_layout.h"
#include "tests/normals.h"
#include "tests/torch_testing.h"

namespace mentor::agents::TEST_FILE {

TEST_CASE("orthogonal: rows or columns are orthogonal with the gain as length", "[unit]") {
  for (const auto& [out, in] :
       {std::pair<int64_t, int64_t>{64, 39}, {64, 64}, {4, 64}, {1, 64}, {7, 1}, {1, 1}}) {
    const torch::Tensor w = Orthogonal(out, in, 1.7, {.seed = 3}, 2).to(torch::kFloat64);
    const torch::Tensor product = out <= in ? w.mm(w.t()) : w.t().mm(w);
    const torch::Tensor want = 1.7 * 1.7 * torch::eye(std::min(out, in), torch::kFloat64);
    INFO(out << " x " << in);
    CHECK((product - want).abs().max().item<double>() < 1e-5);
  }
}

TEST_CASE("orthogonal: a square one is the Q of its normals with the sign rule", "[unit]") {
  constexpr int64_t n = 6;
  const RandomStream stream{.seed = 9, .purpose = Purpose::kAgentWeights};
  const auto [q, r] = torch::linalg_qr(testing::Normals(stream, 4, {n, n}, torch::kFloat64));
  const torch::Tensor want = q * r.diagonal().sign().unsqueeze(0);
  CHECK((Orthogonal(n, n, 1, stream, 4) - want).abs().max().item<double>() < 1e-6);
}

TEST_CASE("agents: the layout has the sizes of the paper, the critic is an optional tail",
          "[unit]") {
  AgentShape shape{.observation_size = 39, .action_size = 4};
  const ParamLayout with = AgentLayout(shape);
  CHECK(with.size() == 13769);
  shape.critic = false;
  const ParamLayout without = AgentLayout(shape);
  CHECK(without.size() == 6984);
  for (size_t i = 0; i < without.slices().size(); ++i) {
    CHECK(without.slices()[i].name == with.slices()[i].name);
    CHECK(without.slices()[i].offset == with.slices()[i].offset);
  }
}

TEST_CASE("agents: initial weights have their gains, and depend on the agent's own number alone",
          "[unit]") {
  const AgentShape shape{.observation_size = 39, .action_size = 4};
  const ParamLayout layout = AgentLayout(shape);
  const std::vector<uint32_t> lifetimes = {5, 6, 7};
  const torch::Tensor theta =
      InitialTheta(shape, /*initial_std=*/0.5, /*seed=*/1, Phase::kTraining, lifetimes);
  const std::vector<torch::Tensor> parts = layout.Split(theta);
  const std::map<std::string, double> squared_gains = {{"actor.W1", 2},    {"actor.W2", 2},
                                                       {"actor.W3", 1e-4}, {"critic.W1", 2},
                                                       {"critic.W2", 2},   {"critic.W3", 1}};
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string& name = layout.slices()[i].name;
    INFO(name);
    if (name == "logstd") {
      CHECK(parts[i].eq(std::log(0.5f)).all().item<bool>());
    } else if (parts[i].dim() == 2) {
      CHECK(parts[i].eq(0).all().item<bool>());
    } else {
      // The squares of a matrix with orthogonal rows or columns sum to gain^2 times the shorter
      // side.
      const double want = squared_gains.at(name) * std::min(parts[i].size(1), parts[i].size(2));
      for (int64_t s = 0; s < 3; ++s) {
        CHECK(testing::Near(parts[i][s].square().sum().item<double>(), want, {.rel = 1e-5}));
      }
    }
  }
  CHECK_FALSE(theta[0].equal(theta[1]));
  // No two matrices of one agent come from the same numbers.
  CHECK_FALSE(parts[0][0].equal(parts[7][0]));
  CHECK(InitialTheta(shape, 0.5, 1, Phase::kTraining, std::vector<uint32_t>{6})[0].equal(theta[1]));
  CHECK_FALSE(
      InitialTheta(shape, 0.5, 1, Phase::kTestEvaluation, std::vector<uint32_t>{6})[0].equal(
          theta[1]));
  CHECK_FALSE(
      InitialTheta(shape, 0.5, 2, Phase::kTraining, std::vector<uint32_t>{6})[0].equal(theta[1]));
}

}  // namespace mentor::agents::TEST_FILE
