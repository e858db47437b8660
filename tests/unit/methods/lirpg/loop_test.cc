// LIRPG's loop on made-up segments: PPO when nothing is learned beside the agents, what it reports,
// and resuming from a snapshot as if nothing had happened.
#include <cmath>
#include <string>

#include "common/spec/spec.h"
#include "methods/base/inner_loop.h"
#include "tests/normals.h"
#include "tests/specs.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::Settings;
using torch::Tensor;

constexpr int64_t kSteps = 64, kObservation = 3, kAction = 2, kEpisode = 16;

v1::Shard MakeShard(const Settings& settings, int agents = 1) {
  v1::ExperimentSpec spec;
  spec.mutable_benchmark()->set_name("none");
  spec.mutable_lifetime()->set_iterations(4);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_agent()->set_hidden_units(8);
  spec.mutable_agent()->set_epochs(3);
  spec.mutable_agent()->set_minibatches(4);
  spec.mutable_agent()->set_learning_rate(1e-3);
  spec.mutable_agent()->set_normalize_observations(true);
  spec.mutable_agent()->set_clip_value_loss(true);
  spec.mutable_signal()->set_name("mlp");
  spec.mutable_signal()->set_role(v1::REWARD);
  spec.mutable_rule()->set_lifetimes_per_update(agents);
  spec.mutable_rule()->set_shard_lifetimes(agents);
  v1::Shard shard;
  *shard.mutable_spec() = WithDefaults(spec);
  for (int i = 0; i < agents; ++i) shard.add_lifetimes()->set_number(i);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(true);
  *shard.mutable_shape() =
      testing::Shape({.observation = kObservation, .action = kAction, .episode_steps = kEpisode});
  shard.set_collections(1);
  shard.set_iterations(4);
  shard.mutable_inner_loop()->set_name("lirpg");
  testing::SetOptions(shard.mutable_inner_loop(), settings);
  return shard;
}

// The same whatever the policies are. Observations are far from 0, so that normalising matters.
agents::Segment Collected(const v1::Shard& shard, uint32_t number) {
  const int64_t agents = shard.lifetimes_size();
  const auto normals = [&](torch::IntArrayRef shape, uint32_t step) {
    return testing::Normals({.seed = 31}, 10 * number + step, shape);
  };
  agents::Segment segment;
  segment.observations = 5 + 3 * normals({agents, kSteps, kObservation}, 0);
  segment.actions = normals({agents, kSteps, kAction}, 1);
  segment.log_probs =
      -0.5 * segment.actions.square().sum(-1) - kAction * 0.5 * std::log(2 * 3.14159265358979);
  if (shard.shape().discrete_actions()) {
    segment.actions =
        (segment.actions == segment.actions.amax(-1, /*keepdim=*/true)).to(torch::kFloat32);
    segment.log_probs = torch::full({agents, kSteps}, -std::log(kAction));
  }
  segment.shaped_rewards =
      (normals({agents, kSteps}, 2) + segment.actions.select(2, 0)).to(torch::kFloat64);
  segment.successes = torch::zeros({agents, kSteps});
  segment.success_signals = torch::zeros({agents, kSteps});
  segment.prev_done = torch::zeros({agents, kSteps});
  for (int64_t t = kEpisode; t < kSteps; t += kEpisode) segment.prev_done.select(1, t).fill_(1);
  if (number > 0) segment.prev_done.select(1, 0).fill_(1);
  segment.last_done = torch::ones({agents});
  segment.next_observations = 5 + 3 * normals({agents, kObservation}, 3);
  return segment;
}

std::unique_ptr<InnerLoop> Make(const v1::Shard& shard) {
  Violations violations;
  Tensor weights;
  if (shard.reward_source() == v1::REWARD_SOURCE_SIGNAL) {
    weights = signals::MakeSignalNetwork(shard.spec().signal(), SignalContextOf(shard), &violations)
                  ->InitialWeights(5);
  }
  auto loop = MakeInnerLoop(shard, weights, nullptr, {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(loop != nullptr);
  return loop;
}

LoopReport Live(const v1::Shard& shard, InnerLoop* loop, uint32_t iteration) {
  const torch::NoGradGuard no_grad;
  LoopReport report;
  const auto segment = loop->Iterate(
      iteration, [&](std::vector<v1::PolicyWeights>) { return Collected(shard, iteration); },
      &report);
  INFO(segment.status());
  REQUIRE(segment.ok());
  CHECK(report.nonfinite_updates == 0);
  for (const auto& [name, value] : report.statistics) {
    INFO(name);
    CHECK(std::isfinite(value));
  }
  return report;
}

std::string Bytes(const std::vector<v1::PolicyWeights>& policies) {
  std::string bytes;
  for (const v1::PolicyWeights& policy : policies) bytes += policy.SerializeAsString();
  return bytes;
}

TEST_CASE("lirpg loop: with c_in 0 it is PPO", "[unit]") {
  const v1::Shard shard =
      MakeShard({{"c_ex", "1"}, {"c_in", "0"}, {"scale_rewards", "false"}}, /*agents=*/3);
  v1::Shard baseline = shard;
  baseline.mutable_inner_loop()->Clear();
  baseline.mutable_inner_loop()->set_name("ppo");
  baseline.set_reward_source(v1::REWARD_SOURCE_SHAPED);
  baseline.set_outer_learning(false);
  const auto lirpg = Make(shard), ppo = Make(baseline);
  lirpg->Begin();
  ppo->Begin();
  // The first segment is collected with the same bits.
  CHECK(Bytes(lirpg->Policies()) == Bytes(ppo->Policies()));
  for (uint32_t i = 0; i < 2; ++i) {
    CHECK_FALSE(Live(shard, lirpg.get(), i).outer_gradient.defined());
    Live(baseline, ppo.get(), i);
    const Tensor a = lirpg->Save().at("agents.theta"), b = ppo->Save().at("agents.theta");
    INFO("iteration " << i << ", " << (a - b).abs().max().item<double>());
    CHECK(torch::allclose(a, b, 0, 1e-4));
  }
}

TEST_CASE("lirpg loop: without steps of the reward network the agents learn alike", "[unit]") {
  // c_in above 0 and no learning rate: the reward as it was born.
  const v1::Shard still = MakeShard({{"learning_rate", "0"}});
  v1::Shard frozen = MakeShard({});
  frozen.set_outer_learning(false);
  const auto a = Make(still), b = Make(frozen);
  a->Begin();
  b->Begin();
  CHECK_FALSE(Live(still, a.get(), 0).outer_gradient.defined());
  CHECK_FALSE(Live(frozen, b.get(), 0).outer_gradient.defined());
  CHECK(torch::equal(a->Save().at("agents.theta"), b->Save().at("agents.theta")));
}

TEST_CASE("lirpg loop: the network moves in every minibatch, and reports how far", "[unit]") {
  for (const Settings& settings :
       {Settings{}, {{"forms", "tensorflow"}, {"reward_every", "20"}, {"c_ex", "0.01"}}}) {
    const v1::Shard shard = MakeShard(settings, /*agents=*/2);
    const auto loop = Make(shard);
    loop->Begin();
    const Tensor before = loop->Save().at("outer.theta");
    const LoopReport report = Live(shard, loop.get(), 0);
    REQUIRE(report.outer_gradient.defined());
    const TensorMap state = loop->Save();
    CHECK(state.at("outer.adam_steps").item<int64_t>() == 12);
    CHECK(torch::equal(before[0].to(torch::kFloat64) + report.outer_gradient,
                       state.at("outer.theta")[0].to(torch::kFloat64)));
    CHECK(report.outer_gradient.abs().max().item<double>() > 1e-4);
  }
}

TEST_CASE("lirpg loop: what the kernels do not serve learns by LibTorch", "[unit]") {
  for (const std::string what : {"discrete actions", "another network"}) {
    INFO(what);
    v1::Shard shard = MakeShard({{"forms", "tensorflow"}}, /*agents=*/2);
    if (what == "discrete actions") {
      shard.mutable_shape()->set_discrete_actions(true);
    } else {
      shard.mutable_spec()->mutable_signal()->set_name("attention");
    }
    const auto loop = Make(shard);
    loop->Begin();
    const Tensor before = loop->Save().at("agents.theta");
    const LoopReport report = Live(shard, loop.get(), 0);
    CHECK(report.outer_gradient.abs().max().item<double>() > 1e-4);
    CHECK_FALSE(torch::allclose(before, loop->Save().at("agents.theta"), 0, 1e-4));
  }
}

TEST_CASE("lirpg loop: a snapshot is everything that the next iteration depends on", "[unit]") {
  const v1::Shard shard = MakeShard({{"reward_every", "20"}, {"c_ex", "0.01"}});
  const auto whole = Make(shard);
  whole->Begin();
  for (uint32_t i = 0; i < 2; ++i) Live(shard, whole.get(), i);
  const TensorMap state = whole->Save();
  Violations violations;
  const auto resumed =
      MakeInnerLoop(shard, state.at("outer.theta")[0].clone(), nullptr, {}, &violations);
  REQUIRE(resumed->Load(state).ok());
  const Tensor a = Live(shard, whole.get(), 2).outer_gradient,
               b = Live(shard, resumed.get(), 2).outer_gradient;
  CHECK(torch::equal(a, b));
  const TensorMap x = whole->Save(), y = resumed->Save();
  REQUIRE(x.size() == y.size());
  for (const auto& [name, tensor] : x) {
    INFO(name);
    CHECK(torch::equal(tensor, y.at(name)));
  }
  TensorMap missing = x;
  missing.erase("earned_reward");
  CHECK_FALSE(Make(shard)->Load(missing).ok());
}

TEST_CASE("lirpg loop: an agent whose numbers are not finite has no part", "[unit]") {
  const v1::Shard shard = MakeShard({{"c_ex", "0.01"}}, /*agents=*/2);
  const auto loop = Make(shard);
  loop->Begin();
  const Tensor before = loop->Save().at("agents.theta");
  const torch::NoGradGuard no_grad;
  LoopReport report;
  REQUIRE(loop->Iterate(
                  0,
                  [&](std::vector<v1::PolicyWeights>) {
                    agents::Segment segment = Collected(shard, 0);
                    segment.shaped_rewards[1].fill_(std::nan(""));
                    return segment;
                  },
                  &report)
              .ok());
  CHECK(report.nonfinite_updates > 0);
  const TensorMap after = loop->Save();
  CHECK(torch::equal(before[1], after.at("agents.theta")[1]));
  CHECK_FALSE(torch::equal(before[0], after.at("agents.theta")[0]));
  CHECK(after.at("outer.theta").isfinite().all().item<bool>());
  CHECK(report.outer_gradient.abs().max().item<double>() > 0);
}

TEST_CASE("lirpg loop: settings that do not fit are refused by name", "[unit]") {
  const auto refused = [](const v1::Shard& shard, const std::string& field) {
    Violations violations;
    CHECK(MakeInnerLoop(shard, {}, nullptr, {}, &violations) == nullptr);
    const std::string message(violations.ToStatus().message());
    INFO(message);
    CHECK(message.find(field) != std::string::npos);
  };
  v1::Shard shard = MakeShard({});
  shard.mutable_spec()->mutable_agent()->set_target_kl(0.01);
  refused(shard, "agent.target_kl");
  shard = MakeShard({});
  shard.mutable_spec()->mutable_agent()->set_bootstrap_on_truncation(true);
  refused(shard, "agent.bootstrap_on_truncation");
  shard = MakeShard({});
  shard.mutable_spec()->mutable_agent()->set_minibatches(64);
  refused(shard, "agent.minibatches");
  shard = MakeShard({});
  shard.mutable_spec()->mutable_rule()->set_lifetimes_per_update(2);
  refused(shard, "rule.shard_lifetimes: is 1 for 2 lifetimes");
  shard = MakeShard({});
  testing::SetOption(shard.mutable_spec()->mutable_signal(), "normalize_observations", "true");
  refused(shard, "signal.option.normalize_observations");
}

}  // namespace mentor::methods::TEST_FILE
