// An input that is constant through an episode, folded into biases.
#include "methods/shared/folded_input.h"

#include "agents/policy.h"
#include "tests/normals.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::Normals;
using torch::Tensor;

TEST_CASE("folded input: policy and value are the same functions of the observation", "[unit]") {
  for (const bool critic : {true, false}) {
    const agents::AgentShape seen{
        .observation_size = 3, .action_size = 2, .hidden_units = 5, .critic = critic};
    const agents::AgentShape whole = WithInput(seen, 4);
    CHECK(whole.observation_size == 7);
    const Tensor theta = Normals({.seed = 1}, 0, {6, agents::AgentLayout(whole).size()},
                                 torch::kFloat64),
                 constant = Normals({.seed = 1}, 1, {6, 4}, torch::kFloat64),
                 observations = Normals({.seed = 1}, 2, {6, 9, 3}, torch::kFloat64);
    const Tensor folded = FoldInput(seen, theta, constant);
    REQUIRE(folded.sizes() == at::IntArrayRef({6, agents::AgentLayout(seen).size()}));
    const agents::AgentNetworks a = agents::SplitAgents(agents::AgentLayout(whole), theta),
                                b = agents::SplitAgents(agents::AgentLayout(seen), folded);
    const Tensor both = torch::cat({observations, constant.unsqueeze(1).expand({6, 9, 4})}, 2);
    CHECK((agents::Forward(a.policy, both) - agents::Forward(b.policy, observations))
              .abs()
              .max()
              .item<double>() < 1e-12);
    CHECK(torch::equal(a.log_std, b.log_std));
    if (!critic) continue;
    CHECK((agents::Forward(a.value, both) - agents::Forward(b.value, observations))
              .abs()
              .max()
              .item<double>() < 1e-12);
  }
}

TEST_CASE("folded input: a row's bits do not depend on the other rows", "[unit]") {
  const agents::AgentShape seen{.observation_size = 3, .action_size = 2, .hidden_units = 16};
  const Tensor theta =
                   Normals({.seed = 2}, 0, {40, agents::AgentLayout(WithInput(seen, 5)).size()}),
               constant = Normals({.seed = 2}, 1, {40, 5});
  const Tensor all = FoldInput(seen, theta, constant);
  CHECK(all.dtype() == torch::kFloat32);
  for (const int64_t row : {0, 17, 39}) {
    CHECK(torch::equal(all[row],
                       FoldInput(seen, theta.narrow(0, row, 1), constant.narrow(0, row, 1))[0]));
  }
}

TEST_CASE("folded input: an iteration must hold whole episodes of one length", "[unit]") {
  const auto fields = [](int64_t steps, bool independent) {
    Violations violations;
    CheckEpisodesOfIteration(
        testing::SpecOfRule("any", {.lifetimes = 1, .iterations = 2, .steps = steps},
                            testing::Settings{}),
        testing::Shape({.episode_steps = 10, .independent_episodes = independent}), &violations);
    return violations.list().size();
  };
  CHECK(fields(50, true) == 0);
  CHECK(fields(55, true) == 1);
  CHECK(fields(50, false) == 1);
  CHECK(
      EpisodesOfIteration(testing::SpecOfRule("any", {.lifetimes = 1, .iterations = 2, .steps = 50},
                                              testing::Settings{}),
                          testing::Shape({.episode_steps = 10})) == 5);
}

}  // namespace mentor::methods::TEST_FILE
