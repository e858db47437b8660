// Agents of the meta-gradient rule on made-up segments: the loop's reports, and resuming from a
// snapshot as if nothing had happened.
#include <cmath>
#include <string>
#include <vector>

#include "common/spec/spec.h"
#include "methods/base/inner_loop.h"
#include "tests/normals.h"
#include "tests/specs.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::Settings;
using torch::Tensor;

constexpr int64_t kAgents = 10, kSteps = 32, kObservation = 3, kAction = 2, kEpisode = 8;

v1::Shard MakeShard(const Settings& settings, v1::SignalRole role = v1::REWARD) {
  v1::ExperimentSpec spec;
  spec.mutable_benchmark()->set_name("none");
  spec.mutable_lifetime()->set_iterations(4);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_agent()->set_hidden_units(8);
  spec.mutable_agent()->set_epochs(2);
  spec.mutable_agent()->set_minibatches(1);
  spec.mutable_agent()->set_learning_rate(3e-3);
  spec.mutable_signal()->set_name("mlp");
  spec.mutable_signal()->set_role(role);
  v1::Shard shard;
  *shard.mutable_spec() = WithDefaults(spec);
  for (uint32_t i = 0; i < kAgents; ++i) shard.add_lifetimes()->set_number(i);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(true);
  *shard.mutable_shape() = testing::Shape({.observation = kObservation,
                                           .action = kAction,
                                           .episode_steps = kEpisode,
                                           .discrete_actions = true});
  shard.set_collections(1);
  shard.set_iterations(4);
  shard.mutable_inner_loop()->set_name("meta_gradient");
  testing::SetOptions(shard.mutable_inner_loop(), settings);
  return shard;
}

Tensor Normals(torch::IntArrayRef shape, uint32_t step) {
  return testing::Normals({.seed = 31}, step, shape);
}

// The same whatever the policies are; the behaviour is uniform.
// Episodes end at a limit.
agents::Segment Collected(uint32_t number, bool bootstraps = false) {
  agents::Segment segment;
  const uint32_t first = 10 * number;
  segment.observations = Normals({kAgents, kSteps, kObservation}, first);
  segment.actions =
      torch::one_hot((Normals({kAgents, kSteps}, first + 1) > 0).to(torch::kInt64), kAction)
          .to(torch::kFloat32);
  segment.log_probs = torch::full({kAgents, kSteps}, -std::log(2.0), torch::kFloat32);
  segment.shaped_rewards = Normals({kAgents, kSteps}, first + 2).to(torch::kFloat64);
  segment.successes = torch::zeros({kAgents, kSteps});
  segment.success_signals = torch::zeros({kAgents, kSteps});
  segment.prev_done = torch::zeros({kAgents, kSteps});
  for (int64_t t = kEpisode; t < kSteps; t += kEpisode) segment.prev_done.select(1, t).fill_(1);
  if (number > 0) segment.prev_done.select(1, 0).fill_(1);
  segment.last_done = torch::ones({kAgents});
  segment.next_observations = Normals({kAgents, kObservation}, first + 3);
  if (bootstraps) {
    constexpr int64_t kCut = kSteps / kEpisode;
    segment.truncated = torch::zeros({kAgents, kSteps});
    for (int64_t t = kEpisode - 1; t < kSteps; t += kEpisode)
      segment.truncated.select(1, t).fill_(1);
    segment.final_observations = Normals({kAgents, kCut + 1, kObservation}, first + 4);
  }
  return segment;
}

constexpr uint64_t kNetworkSeed = 5;

std::unique_ptr<signals::SignalNetwork> MakeNetwork(const v1::Shard& shard) {
  Violations violations;
  auto network = signals::MakeSignalNetwork(shard.spec().signal(),
                                            {.observation_size = kObservation,
                                             .action_size = kAction,
                                             .role = shard.spec().signal().role(),
                                             .input = shard.spec().signal().input(),
                                             .episode_steps = kEpisode},
                                            &violations);
  REQUIRE(network != nullptr);
  return network;
}

// weights undefined: the network's initial ones.
std::unique_ptr<InnerLoop> Make(const v1::Shard& shard, const Tensor& weights = {}) {
  Violations violations;
  const auto network = MakeNetwork(shard);
  auto loop =
      MakeInnerLoop(shard, weights.defined() ? weights : network->InitialWeights(kNetworkSeed),
                    nullptr, {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(loop != nullptr);
  return loop;
}

LoopReport Live(InnerLoop* loop, uint32_t iteration, bool bootstraps = false) {
  const torch::NoGradGuard no_grad;
  LoopReport report;
  const auto segment = loop->Iterate(
      iteration, [&](std::vector<v1::PolicyWeights>) { return Collected(iteration, bootstraps); },
      &report);
  INFO(segment.status());
  REQUIRE(segment.ok());
  CHECK(segment->signals.isfinite().all().item<bool>());
  CHECK(report.nonfinite_updates == 0);
  for (const auto& [name, value] : report.statistics) {
    INFO(name);
    CHECK(std::isfinite(value));
  }
  return report;
}

std::vector<Tensor> Gradients(const v1::Shard& shard) {
  const auto loop = Make(shard);
  loop->Begin();
  std::vector<Tensor> gradients;
  for (uint32_t i = 0; i < 3; ++i)
    gradients.push_back(
        Live(loop.get(), i, shard.spec().agent().bootstrap_on_truncation()).outer_gradient);
  return gradients;
}

TEST_CASE("meta-gradient loop: the gradient is the sum of the agents' own", "[unit]") {
  const v1::Shard shard = MakeShard({});
  const Tensor all = Gradients(shard)[0];
  REQUIRE(all.defined());
  CHECK(all.dtype() == torch::kFloat64);
  CHECK(all.abs().max().item<double>() > 1e-6);
  Tensor sum = torch::zeros_like(all);
  for (int s = 0; s < kAgents; ++s) {
    v1::Shard one = shard;
    one.clear_lifetimes();
    *one.add_lifetimes() = shard.lifetimes(s);
    const auto loop = Make(one);
    loop->Begin();
    const torch::NoGradGuard no_grad;
    LoopReport report;
    REQUIRE(loop->Iterate(
                    0,
                    [&](std::vector<v1::PolicyWeights>) {
                      agents::Segment segment = Collected(0);
                      for (Tensor* x :
                           {&segment.observations, &segment.actions, &segment.log_probs,
                            &segment.shaped_rewards, &segment.successes, &segment.success_signals,
                            &segment.prev_done, &segment.last_done, &segment.next_observations})
                        *x = x->narrow(0, s, 1);
                      return segment;
                    },
                    &report)
                .ok());
    sum += report.outer_gradient;
  }
  CHECK(torch::allclose(all, sum, 1e-4, 1e-7));
}

// The loop itself, with a weight of the signal and a lambda that are not 1. Its objective is what
// it reports as its outer loss, in float32, so steps along the gradient are long.
void CheckSlope(v1::Shard shard) {
  shard.mutable_spec()->mutable_agent()->set_gae_lambda(0.5);
  // Adam's first step is a sign, so it has made some.
  const auto begun = Make(shard);
  begun->Begin();
  for (uint32_t i = 0; i < 3; ++i) Live(begun.get(), i);
  const TensorMap state = begun->Save();
  const auto outcome = [&](const Tensor& weights) {
    const auto loop = Make(shard, weights);
    REQUIRE(loop->Load(state).ok());
    return Live(loop.get(), 3);
  };
  const Tensor weights = MakeNetwork(shard)->InitialWeights(kNetworkSeed);
  const Tensor gradient = outcome(weights).outer_gradient;
  const double slope = gradient.norm().item<double>();
  const Tensor direction = gradient / slope;
  const auto loss = [&](double length) {
    const Tensor moved = (weights.to(torch::kFloat64) + length * direction).to(torch::kFloat32);
    return kAgents * outcome(moved).statistics.at("outer_loss");
  };
  const double h = 0.02;
  const double difference = (loss(h) - loss(-h)) / (2 * h);
  INFO("slope " << slope << ", difference " << difference);
  CHECK(slope > 1e-3);
  CHECK(std::abs(difference - slope) < 0.03 * slope);
}

TEST_CASE("meta-gradient loop: the gradient is the slope of the outer loss", "[unit]") {
  CheckSlope(MakeShard({{"c_in", "0.7"}, {"second_moment", "through"}}));
}

TEST_CASE("meta-gradient loop: objective value_error, of a reward and of gamma and lambda",
          "[unit]") {
  const Settings settings = {{"objective", "value_error"}, {"second_moment", "through"}};
  // The signal moves the critic's targets alone, so long steps are needed to see it in float32.
  const auto make = [&](v1::SignalRole role) {
    v1::Shard shard = MakeShard(settings, role);
    shard.mutable_spec()->mutable_agent()->set_learning_rate(0.05);
    return shard;
  };
  CheckSlope(make(v1::REWARD));
  v1::Shard discount = make(v1::ADVANTAGE);
  discount.mutable_spec()->mutable_signal()->set_name("discount");
  testing::SetOption(discount.mutable_spec()->mutable_signal(), "critic_sees", "false");
  CheckSlope(discount);
}

TEST_CASE("meta-gradient loop: an agent whose numbers are not finite has no part", "[unit]") {
  const v1::Shard shard = MakeShard({});
  const auto loop = Make(shard);
  loop->Begin();
  const torch::NoGradGuard no_grad;
  LoopReport report;
  REQUIRE(loop->Iterate(
                  0,
                  [&](std::vector<v1::PolicyWeights>) {
                    agents::Segment segment = Collected(0);
                    segment.shaped_rewards[3].fill_(std::nan(""));
                    return segment;
                  },
                  &report)
              .ok());
  CHECK(report.nonfinite_updates == 1);
  CHECK(report.outer_gradient.isfinite().all().item<bool>());
  CHECK(report.outer_gradient.abs().max().item<double>() > 1e-6);
}

TEST_CASE("meta-gradient loop: what settings change, and what they do not", "[unit]") {
  const std::vector<Tensor> unrolled = Gradients(MakeShard({{"implementation", "unrolled"}}));
  const std::vector<Tensor> replay = Gradients(MakeShard({{"implementation", "replay"}}));
  for (size_t i = 0; i < unrolled.size(); ++i) {
    INFO("iteration " << i);
    REQUIRE(unrolled[i].defined());
    CHECK(torch::allclose(unrolled[i], replay[i], 1e-3, 1e-6));
  }
  for (const auto& [name, value] : Settings{{"order", "first"},
                                            {"last_n", "1"},
                                            {"outer_data", "fresh"},
                                            {"c_in", "0.1"},
                                            {"critic", "separate"},
                                            {"inner_loss", "a2c"},
                                            {"second_moment", "through"},
                                            {"bootstrap_steps", "1"},
                                            {"bootstrap_steps", "3"}}) {
    INFO(name << " " << value);
    const std::vector<Tensor> other = Gradients(MakeShard({{name, value}}));
    REQUIRE(other[1].defined());
    CHECK_FALSE(torch::allclose(other[1], replay[1], 1e-3, 1e-7));
  }
  const std::vector<Tensor> none = Gradients(MakeShard({{"c_in", "0"}}));
  CHECK(none[0].abs().max().item<double>() == 0);
}

TEST_CASE("meta-gradient loop: a target of one step pulls the way of the outer objective",
          "[unit]") {
  const auto cosine = [](const Tensor& a, const Tensor& b) {
    return (a.dot(b) / (a.norm() * b.norm())).item<double>();
  };
  for (const std::string data : {"same", "fresh"}) {
    for (const v1::SignalRole role : {v1::REWARD, v1::ADVANTAGE}) {
      INFO(data << ", " << v1::SignalRole_Name(role));
      const auto gradient = [&](Settings settings) {
        settings.push_back({"outer_data", data});
        v1::Shard shard = MakeShard(settings, role);
        shard.mutable_spec()->mutable_agent()->set_optimizer(v1::SGD);
        shard.mutable_spec()->mutable_agent()->set_learning_rate(0.1);
        return Gradients(shard)[1];
      };
      const Tensor plain = gradient({}), one = gradient({{"bootstrap_steps", "1"}}),
                   three = gradient({{"bootstrap_steps", "3"}});
      CHECK(cosine(plain, one) > 0.2);
      CHECK(cosine(one, three) < 0.999);
      // It is as small as the step is short.
      CHECK(one.norm().item<double>() < 0.5 * plain.norm().item<double>());
      CHECK(one.norm().item<double>() > 0);
    }
  }
}

TEST_CASE("meta-gradient loop: targets are the same in both implementations", "[unit]") {
  for (const std::string data : {"same", "fresh"}) {
    const auto gradients = [&](const std::string& implementation) {
      return Gradients(MakeShard(
          {{"outer_data", data}, {"bootstrap_steps", "2"}, {"implementation", implementation}}));
    };
    const Tensor unrolled = gradients("unrolled")[1], replay = gradients("replay")[1];
    const double size = unrolled.abs().max().item<double>();
    CHECK(size > 1e-9);
    CHECK((unrolled - replay).abs().max().item<double>() < 2e-3 * size);
  }
}

TEST_CASE("meta-gradient loop: a limit that is no end changes updates and outer objective",
          "[unit]") {
  for (const Settings& settings :
       {Settings{}, {{"critic", "separate"}}, {{"outer_data", "fresh"}}}) {
    v1::Shard shard = MakeShard(settings);
    const std::vector<Tensor> ends = Gradients(shard);
    shard.mutable_spec()->mutable_agent()->set_bootstrap_on_truncation(true);
    const std::vector<Tensor> limits = Gradients(shard);
    REQUIRE(limits[2].defined());
    CHECK_FALSE(torch::allclose(ends[2], limits[2], 1e-2, 1e-6));
  }
}

TEST_CASE("meta-gradient loop: fresh outer data tell one iteration later", "[unit]") {
  const std::vector<Tensor> fresh = Gradients(MakeShard({{"outer_data", "fresh"}}));
  CHECK_FALSE(fresh[0].defined());
  CHECK(fresh[1].defined());
  CHECK(fresh[2].defined());
}

TEST_CASE("meta-gradient loop: frozen, the agents learn alike and nothing is reported", "[unit]") {
  const v1::Shard shard = MakeShard({});
  v1::Shard without = shard;
  without.set_outer_learning(false);
  const auto taught = Make(shard), frozen = Make(without);
  taught->Begin();
  frozen->Begin();
  for (uint32_t i = 0; i < 2; ++i) {
    CHECK(Live(taught.get(), i).outer_gradient.defined());
    CHECK_FALSE(Live(frozen.get(), i).outer_gradient.defined());
  }
  CHECK(torch::equal(taught->Save().at("agents.theta"), frozen->Save().at("agents.theta")));
  // The last iteration only measures.
  const TensorMap before = frozen->Save();
  Live(frozen.get(), 3);
  const TensorMap after = frozen->Save();
  for (const char* name : {"agents.theta", "agents.adam_steps", "extrinsic_critic.theta"}) {
    INFO(name);
    CHECK(torch::equal(before.at(name), after.at(name)));
  }
  // Taught agents continue, so the last update counts too.
  const Tensor agents = taught->Save().at("agents.theta");
  Live(taught.get(), 3);
  CHECK_FALSE(torch::equal(taught->Save().at("agents.theta"), agents));
}

TEST_CASE("meta-gradient loop: a snapshot is everything that the next iteration depends on",
          "[unit]") {
  for (const auto& [settings, role] : std::vector<std::pair<Settings, v1::SignalRole>>{
           {{}, v1::REWARD},
           {{{"outer_data", "fresh"}}, v1::REWARD},
           {{{"outer_data", "fresh"}, {"bootstrap_steps", "2"}}, v1::REWARD},
           {{{"outer_data", "fresh"}, {"critic", "separate"}}, v1::REWARD},
           {{{"outer_data", "fresh"}}, v1::ADVANTAGE},
           {{}, v1::ADVANTAGE}}) {
    for (const bool bootstraps : {false, true}) {
      v1::Shard shard = MakeShard(settings, role);
      shard.mutable_spec()->mutable_agent()->set_bootstrap_on_truncation(bootstraps);
      if (role == v1::ADVANTAGE) shard.mutable_spec()->mutable_signal()->set_name("discount");
      INFO(settings.size() << " settings, " << v1::SignalRole_Name(role));
      const auto whole = Make(shard), resumed = Make(shard);
      whole->Begin();
      for (uint32_t i = 0; i < 2; ++i) Live(whole.get(), i, bootstraps);
      REQUIRE(resumed->Load(whole->Save()).ok());
      const Tensor a = Live(whole.get(), 2, bootstraps).outer_gradient,
                   b = Live(resumed.get(), 2, bootstraps).outer_gradient;
      CHECK(torch::equal(a, b));
      CHECK(a.abs().max().item<double>() > 0);
      const TensorMap x = whole->Save(), y = resumed->Save();
      REQUIRE(x.size() == y.size());
      for (const auto& [name, tensor] : x) {
        INFO(name);
        CHECK(torch::equal(tensor, y.at(name)));
      }
      TensorMap missing = x;
      missing.erase("extrinsic_critic.theta");
      CHECK_FALSE(Make(shard)->Load(missing).ok());
    }
  }
}

TEST_CASE("meta-gradient loop: replay of few steps has no more than one step's graph", "[unit]") {
  const auto per_thread = [](const std::string& implementation) {
    const auto sizes = SizesOfLoop(MakeShard({{"implementation", implementation}}), 10);
    REQUIRE(sizes.has_value());
    return sizes->per_thread;
  };
  CHECK(per_thread("replay") < per_thread("unrolled"));
  CHECK(per_thread("auto") == per_thread("unrolled"));
}

TEST_CASE("meta-gradient loop: settings that do not fit are refused by name", "[unit]") {
  const auto refused = [](const v1::Shard& shard, const std::string& field) {
    Violations violations;
    CHECK(MakeInnerLoop(shard, {}, nullptr, {}, &violations) == nullptr);
    const std::string message(violations.ToStatus().message());
    INFO(message);
    CHECK(message.find(field) != std::string::npos);
  };
  refused(MakeShard({{"last_n", "3"}}), "rule.option.last_n");
  refused(MakeShard({{"objective", "value_error"}, {"critic", "separate"}}), "rule.option.critic");
  v1::Shard sees = MakeShard({{"objective", "value_error"}}, v1::ADVANTAGE);
  sees.mutable_spec()->mutable_signal()->set_name("discount");
  refused(sees, "signal.option.critic_sees");
  refused(MakeShard({{"critic_minibatches", "33"}}), "rule.option.critic_minibatches");
  refused(MakeShard({{"bootstrap_steps", "4"}}), "rule.option.bootstrap_steps");
  refused(MakeShard({{"objective", "value_error"}, {"bootstrap_steps", "1"}}),
          "rule.option.objective");
  v1::Shard shard = MakeShard({});
  shard.mutable_spec()->mutable_agent()->set_target_kl(0.01);
  refused(shard, "agent.target_kl");
  shard = MakeShard({});
  shard.mutable_spec()->mutable_agent()->set_minibatches(32);
  refused(shard, "agent.minibatches");
  shard = MakeShard({{"inner_loss", "a2c"}});
  shard.mutable_spec()->mutable_agent()->set_surrogate(v1::DPO);
  refused(shard, "agent.surrogate");
  shard = MakeShard({{"outer_data", "fresh"}});
  shard.mutable_spec()->mutable_lifetime()->set_iterations(1);
  refused(shard, "lifetime.iterations");
}

}  // namespace mentor::methods::TEST_FILE
