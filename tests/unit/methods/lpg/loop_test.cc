// Agents of rule lpg on made-up segments: when they learn, when the network gets a gradient, that
// the differentiated updates are those that were lived, and what is refused.
#include "methods/lpg/loop.h"

#include <cmath>
#include <map>
#include <string>

#include "common/spec/spec.h"
#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"
#include "tests/normals.h"
#include "tests/pools.h"
#include "tests/specs.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::Contains;
using torch::Tensor;

constexpr int64_t kAgents = 10, kSteps = 12, kObservation = 3, kAction = 4;
constexpr uint32_t kIterations = 7;

using Settings = std::map<std::string, std::string>;

// Small networks, with these settings besides.
v1::ExperimentSpec Spec(Settings settings = {}) {
  settings.insert({{"updates", "2"},
                   {"unroll", "6"},
                   {"predictions", "5"},
                   {"lstm_units", "6"},
                   {"embedding", "3"},
                   {"critic_epochs", "1"},
                   {"critic_minibatches", "2"}});
  v1::ExperimentSpec spec;
  spec.mutable_benchmark()->set_name("none");
  spec.mutable_lifetime()->set_iterations(kIterations);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_agent()->set_hidden_units(5);
  spec.mutable_agent()->set_learning_rate(0.05);
  spec.mutable_rule()->set_name("lpg");
  spec.mutable_rule()->set_lifetimes_per_update(kAgents);
  spec.mutable_rule()->set_shard_lifetimes(kAgents);
  testing::SetOptions(spec.mutable_rule(), settings);
  return WithDefaults(spec);
}

v1::Shard ShardOf(const v1::ExperimentSpec& spec, bool teaches = true) {
  v1::Shard shard;
  *shard.mutable_spec() = spec;
  for (uint32_t i = 0; i < kAgents; ++i) shard.add_lifetimes()->set_number(i);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(teaches);
  *shard.mutable_shape() =
      testing::Shape({.observation = kObservation, .action = kAction, .discrete_actions = true});
  shard.set_collections(1);
  shard.set_iterations(spec.lifetime().iterations());
  *shard.mutable_inner_loop() = InnerLoopOf(spec.rule());
  return shard;
}

Tensor Weights(const v1::Shard& shard) {
  Violations violations;
  const auto rule = MakeOuterRule({.spec = shard.spec(), .shape = shard.shape()}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  return rule->meta_parameters();
}

std::unique_ptr<InnerLoop> Make(const v1::Shard& shard, int num_threads = 1) {
  Violations violations;
  auto loop = MakeInnerLoop(shard, Weights(shard), testing::Pool(num_threads), {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(loop != nullptr);
  return loop;
}

agents::Segment Collected(uint32_t number) {
  const auto normals = [&](torch::IntArrayRef shape, uint32_t step) {
    return testing::Normals({.seed = 17}, 10 * number + step, shape);
  };
  agents::Segment segment;
  segment.observations = normals({kAgents, kSteps, kObservation}, 0);
  const Tensor numbers = normals({kAgents, kSteps, kAction}, 1);
  segment.actions = (numbers == numbers.amax(-1, /*keepdim=*/true)).to(torch::kFloat32);
  segment.log_probs = torch::full({kAgents, kSteps}, -std::log(4.0));
  segment.shaped_rewards = normals({kAgents, kSteps}, 2).to(torch::kFloat64);
  segment.successes = segment.success_signals = torch::zeros({kAgents, kSteps});
  segment.prev_done = torch::zeros({kAgents, kSteps});
  segment.prev_done.select(1, 5).fill_(1);
  segment.last_done = torch::zeros({kAgents});
  segment.next_observations = normals({kAgents, kObservation}, 3);
  return segment;
}

LoopReport Live(InnerLoop* loop, uint32_t iteration) {
  const torch::NoGradGuard no_grad;
  LoopReport report;
  const auto segment = loop->Iterate(
      iteration, [&](std::vector<v1::PolicyWeights>) { return Collected(iteration); }, &report);
  INFO(segment.status());
  REQUIRE(segment.ok());
  CHECK(report.nonfinite_updates == 0);
  return report;
}

Tensor Theta(InnerLoop* loop) {
  return loop->Save().at("agents.theta").clone();
}

TEST_CASE("lpg loop: a window has its updates and an iteration that judges them", "[unit]") {
  const v1::Shard shard = ShardOf(Spec());
  CHECK(GivesGradient(shard));
  const auto loop = Make(shard);
  loop->Begin();
  for (uint32_t i = 0; i < kIterations; ++i) {
    INFO(i);
    const Tensor before = Theta(loop.get());
    const LoopReport report = Live(loop.get(), i);
    const bool judges = i % 3 == 2;
    CHECK(torch::equal(before, Theta(loop.get())) == judges);
    REQUIRE(report.outer_gradient.defined() == judges);
    if (judges) {
      CHECK(report.outer_gradient.isfinite().all().item<bool>());
      CHECK(report.outer_gradient.abs().max().item<double>() > 1e-6);
    }
  }
  // A shard whose iterations end no window gives none.
  v1::Shard part = shard;
  part.set_first_iteration(3);
  part.set_iterations(1);
  CHECK_FALSE(GivesGradient(part));
  part.set_iterations(3);
  CHECK(GivesGradient(part));
}

TEST_CASE("lpg loop: with frozen weights agents learn after every iteration but the last",
          "[unit]") {
  const v1::Shard shard = ShardOf(Spec(), /*teaches=*/false);
  CHECK_FALSE(GivesGradient(shard));
  const auto loop = Make(shard);
  loop->Begin();
  for (uint32_t i = 0; i < kIterations; ++i) {
    INFO(i);
    const Tensor before = Theta(loop.get());
    CHECK_FALSE(Live(loop.get(), i).outer_gradient.defined());
    CHECK(torch::equal(before, Theta(loop.get())) == (i + 1 == kIterations));
  }
}

TEST_CASE("lpg loop: the updates that are differentiated are those that the agents made",
          "[unit]") {
  const torch::NoGradGuard no_grad;
  const v1::Shard shard = ShardOf(Spec());
  const auto loop = Make(shard);
  loop->Begin();
  for (uint32_t i = 0; i < 2; ++i) Live(loop.get(), i);
  const TensorMap state = loop->Save();
  Violations none;
  const LpgConfig config = ReadLpg(
      OptionValues::Parse(FindInnerLoop("lpg")->options, shard.inner_loop().option(), "", &none),
      shard.spec(), shard.shape());
  std::vector<LpgSteps> path;
  for (int k = 0; k < 2; ++k) {
    const auto get = [&](const std::string& name) {
      return state.at("path." + std::to_string(k) + "." + name);
    };
    path.push_back({get("observations"), get("actions"), get("rewards"), get("dones"), get("probs"),
                    get("y")});
  }
  const agents::Segment judged = Collected(2);
  const LpgGradient gradient =
      Teach(config, Weights(shard), agents::NewAgents(state.at("before.theta")), path,
            {judged.observations,
             judged.actions,
             judged.log_probs,
             judged.shaped_rewards.to(torch::kFloat32),
             {}})
          .value();
  const Tensor lived = state.at("agents.theta");
  CHECK(torch::allclose(gradient.steps.after.theta, lived, 1e-4, 1e-5));
  CHECK_FALSE(torch::allclose(state.at("before.theta"), lived, 1e-3, 1e-3));
}

TEST_CASE("lpg loop: the same bits on one thread and on three", "[unit]") {
  const v1::Shard shard = ShardOf(Spec());
  const auto one = Make(shard, 1), three = Make(shard, 3);
  one->Begin();
  three->Begin();
  for (uint32_t i = 0; i < 3; ++i) {
    const LoopReport a = Live(one.get(), i), b = Live(three.get(), i);
    CHECK(torch::equal(Theta(one.get()), Theta(three.get())));
    if (a.outer_gradient.defined()) CHECK(torch::equal(a.outer_gradient, b.outer_gradient));
  }
}

TEST_CASE("lpg loop: what does not fit is refused with the field and the remedy", "[unit]") {
  const auto complaint = [](v1::Shard shard, const Tensor& weights = {}) {
    *shard.mutable_inner_loop() = InnerLoopOf(shard.spec().rule());
    Violations violations;
    CHECK(MakeInnerLoop(shard, weights, nullptr, {}, &violations) == nullptr);
    return std::string(violations.ToStatus().message());
  };
  v1::Shard continuous = ShardOf(Spec());
  continuous.mutable_shape()->set_discrete_actions(false);
  CHECK(Contains(complaint(continuous),
                 "benchmark: has continuous actions, and the network reads the probability of a "
                 "choice: take one with choices, for instance grid_world"));
  CHECK(Contains(complaint(ShardOf(Spec({{"unroll", "5"}}))),
                 "rule.option.unroll: is 5, which does not divide the 12 steps"));
  Violations of_rule;
  const v1::Shard window = ShardOf(Spec({{"updates", "7"}}));
  CHECK(MakeOuterRule({.spec = window.spec(), .shape = window.shape()}, &of_rule) == nullptr);
  CHECK(Contains(of_rule.ToStatus(),
                 "lifetime.iterations: is 7; the network moves after 7 updates of an agent "
                 "(rule.option.updates) and one more iteration: use at least 8"));
  CHECK(Contains(complaint(ShardOf(Spec({{"critic_minibatches", "13"}}))),
                 "rule.option.critic_minibatches: is 13 for 12 steps"));
  CHECK(Contains(complaint(ShardOf(Spec({{"lstm_units", "4096"}}))), "lstm_units"));
  v1::Shard annealed = ShardOf(Spec());
  annealed.mutable_spec()->mutable_agent()->set_anneal_learning_rate(true);
  CHECK(Contains(complaint(annealed), "agent.anneal_learning_rate: is true"));
  const v1::Shard small = ShardOf(Spec());
  CHECK(Contains(complaint(ShardOf(Spec({{"lstm_units", "7"}})), Weights(small)),
                 "meta-parameters; the network of 7 units and 5 predictions has"));
}

}  // namespace mentor::methods::TEST_FILE
