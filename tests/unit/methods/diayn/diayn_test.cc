// DIAYN's inner loop and outer rule together, on made-up environments.
#include <cmath>

#include "agents/policy.h"
#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"
#include "methods/diayn/discriminator.h"
#include "methods/diayn/loop.h"
#include "tests/normals.h"
#include "tests/pools.h"
#include "tests/specs.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using agents::Segment;
using mentor::testing::Contains;
using torch::Tensor;

constexpr int64_t kAgents = 2, kEpisode = 5, kSkills = 3, kEpisodes = 2 * kSkills,
                  kSteps = kEpisode * kEpisodes, kObservation = 2;
constexpr uint32_t kIterations = 4;

struct Settings {
  std::map<std::string, std::string> options = {};
  int64_t steps = kSteps;
  bool independent = true;
  std::string network = "discriminator";
};

v1::EnvironmentShape Shape(const Settings& settings) {
  return testing::Shape({.observation = kObservation,
                         .episode_steps = kEpisode,
                         .independent_episodes = settings.independent});
}

v1::ExperimentSpec Spec(const Settings& settings) {
  v1::ExperimentSpec spec = testing::SpecOfRule(
      "diayn",
      {.seed = 7, .lifetimes = kAgents, .iterations = kIterations, .steps = settings.steps},
      settings.options);
  spec.mutable_signal()->set_name(settings.network);
  if (settings.network == "discriminator")
    testing::SetOption(spec.mutable_signal(), "skills", std::to_string(kSkills));
  spec.mutable_agent()->set_hidden_units(6);
  spec.mutable_agent()->set_epochs(2);
  spec.mutable_agent()->set_minibatches(2);
  return spec;
}

std::shared_ptr<const signals::SignalNetwork> Network(const v1::ExperimentSpec& spec) {
  Violations violations;
  auto network = signals::MakeSignalNetwork(
      spec.signal(),
      {.observation_size = kObservation, .action_size = 2, .episode_steps = kEpisode}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(network != nullptr);
  return network;
}

std::unique_ptr<OuterRule> MakeRule(const Settings& settings, Violations* violations,
                                    int num_threads = 1) {
  const v1::ExperimentSpec spec = Spec(settings);
  return MakeOuterRule({.spec = spec,
                        .shape = Shape(settings),
                        .network = Network(spec),
                        .pool = testing::Pool(num_threads)},
                       violations);
}

std::unique_ptr<OuterRule> MakeRule(const Settings& settings = {}, int num_threads = 1) {
  Violations violations;
  auto rule = MakeRule(settings, &violations, num_threads);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  return rule;
}

v1::Shard Shard(const Settings& settings) {
  v1::Shard shard;
  *shard.mutable_spec() = Spec(settings);
  *shard.mutable_shape() = Shape(settings);
  *shard.mutable_inner_loop() = InnerLoopOf(shard.spec().rule());
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(true);
  for (uint32_t i = 0; i < kAgents; ++i) shard.add_lifetimes()->set_number(i);
  return shard;
}

std::unique_ptr<InnerLoop> MakeLoop(const v1::Shard& shard, const Tensor& parameters) {
  Violations violations;
  auto loop = MakeInnerLoop(shard, parameters, nullptr, {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(loop != nullptr);
  return loop;
}

// Steps by chance; policies are counted.
Segment Random(uint32_t number) {
  const auto normals = [&](uint32_t part, at::IntArrayRef shape) {
    return testing::Normals({.seed = 4}, 10 * number + part, shape);
  };
  Segment segment;
  segment.observations = normals(0, {kAgents, kSteps, kObservation});
  segment.final_observations = normals(1, {kAgents, kEpisodes, kObservation});
  segment.actions = normals(2, {kAgents, kSteps, 2});
  segment.log_probs = -normals(3, {kAgents, kSteps}).abs();
  segment.shaped_rewards = torch::zeros({kAgents, kSteps}, torch::kFloat64);
  segment.success_signals = segment.successes = torch::zeros({kAgents, kSteps});
  segment.prev_done = torch::zeros({kAgents, kSteps});
  for (int64_t t = kEpisode; t < kSteps; t += kEpisode) segment.prev_done.select(1, t).fill_(1);
  segment.last_done = torch::ones({kAgents});
  segment.next_observations = torch::zeros({kAgents, kObservation});
  return segment;
}

const SkillsConfig kConfig{.skills = kSkills, .episodes = kEpisodes, .episode_steps = kEpisode};

TEST_CASE("skills: what a step leads to is in its own episode", "[unit]") {
  const Segment segment = Random(1);
  const Tensor reached = Reached(kConfig, segment);
  REQUIRE(reached.sizes() == at::IntArrayRef({kAgents, kSteps, kObservation}));
  for (int64_t t = 0; t < kSteps; ++t) {
    const Tensor want = (t + 1) % kEpisode == 0 ? segment.final_observations.select(1, t / kEpisode)
                                                : segment.observations.select(1, t + 1);
    CHECK(torch::equal(reached.select(1, t), want));
  }
}

TEST_CASE("skills: they take turns or are drawn by the key of the episode", "[unit]") {
  const RandomStream stream{.seed = 3, .purpose = Purpose::kSkill};
  CHECK(
      torch::equal(SkillsOf(kConfig, stream, 5), torch::tensor({0, 1, 2, 0, 1, 2}, torch::kInt64)));
  SkillsConfig uniform = kConfig;
  uniform.uniform = true;
  uniform.episodes = 3000;
  const Tensor drawn = SkillsOf(uniform, stream, 0);
  const Tensor counts = torch::bincount(drawn);
  REQUIRE(counts.numel() == kSkills);
  CHECK(counts.min().item<int64_t>() > 900);
  // The number of the episode in the lifetime decides, however long iterations are.
  uniform.episodes = 1000;
  CHECK(torch::equal(SkillsOf(uniform, stream, 2), drawn.narrow(0, 2000, 1000)));
  CHECK(torch::equal(OfSteps(kConfig, torch::tensor({2, 0}, torch::kInt64)),
                     torch::tensor({2, 2, 2, 2, 2, 0, 0, 0, 0, 0}, torch::kInt64)));
}

TEST_CASE("skills: each episode has its skill's policy and the discriminator's reward", "[unit]") {
  const auto rule = MakeRule();
  const v1::Shard shard = Shard({});
  const auto loop = MakeLoop(shard, rule->meta_parameters());
  loop->Begin();
  LoopReport report;
  std::vector<v1::PolicyWeights> acted;
  const auto segment = loop->Iterate(
      0,
      [&](std::vector<v1::PolicyWeights> policies) -> absl::StatusOr<Segment> {
        acted = std::move(policies);
        return Random(1);
      },
      &report);
  REQUIRE(segment.ok());
  REQUIRE(acted.size() == kAgents * kEpisodes);
  for (size_t i = 0; i < acted.size(); ++i) {
    CHECK(acted[i].observation_size() == kObservation);
    const size_t agent = i / kEpisodes;
    for (size_t j = 0; j < i; ++j) {
      const bool same = j / kEpisodes == agent && j % kSkills == i % kSkills;
      CHECK((acted[i].weights() == acted[j].weights()) == same);
    }
  }
  const auto discriminator = AsDiscriminator(Network(Spec({})));
  const Tensor log_q =
      discriminator->LogSkills(rule->meta_parameters(), Reached(kConfig, Random(1)));
  for (int64_t t = 0; t < kSteps; ++t) {
    const int64_t skill = (t / kEpisode) % kSkills;
    for (int64_t s = 0; s < kAgents; ++s) {
      CHECK(segment->signals[s][t].item<double>() ==
            Approx(log_q[s][t][skill].item<double>() + std::log(3.0)).epsilon(1e-5));
    }
  }
  CHECK(report.nonfinite_updates == 0);
}

TEST_CASE("diayn: the rule learns to tell what was reached and reports how far it is", "[unit]") {
  const Settings settings{.options = {{"discriminator_rate", "0.02"}}};
  const auto rule = MakeRule(settings), other = MakeRule(settings, /*num_threads=*/3);
  // Skills end in corners of their own.
  LifetimeBatch batch;
  batch.environments.assign(kAgents, "somewhere");
  batch.steps = Random(2);
  const Tensor corners = torch::tensor({{2.0F, 0.0F}, {-2.0F, 2.0F}, {-2.0F, -2.0F}});
  const Tensor of_steps = OfSteps(kConfig, SkillsOf(kConfig, {}, 0));
  batch.steps.observations =
      0.2 * batch.steps.observations + corners.index_select(0, of_steps).unsqueeze(0);
  batch.steps.final_observations = 0.2 * batch.steps.final_observations +
                                   corners.index_select(0, SkillsOf(kConfig, {}, 0)).unsqueeze(0);
  RuleReport first, last;
  for (uint32_t step = 0; step < 60; ++step) {
    const auto report = rule->Update(batch, step);
    INFO(report.status());
    REQUIRE(report.ok());
    REQUIRE(other->Update(batch, step).ok());
    if (step == 0) first = *report;
    last = *report;
  }
  CHECK(torch::equal(rule->meta_parameters(), other->meta_parameters()));
  CHECK(last["accuracy"] == 1);
  CHECK(last["cross_entropy"] < 0.1);
  CHECK(first["cross_entropy"] > 0.5);
  CHECK(last["pseudo_reward"] == Approx(std::log(3.0) - last["cross_entropy"]));
  // Mean distance of the corners: (2 sqrt(20) + 4) / 3 = 4.31; deviation 0.2 of two normals has
  // mean length 0.25.
  CHECK(last["spread"] > 12);
  CHECK(last["spread"] < 30);
  const auto resumed = MakeRule(settings);
  REQUIRE(resumed->Load(rule->Save()).ok());
  REQUIRE(rule->Update(batch, 60).ok());
  REQUIRE(resumed->Update(batch, 60).ok());
  CHECK(torch::equal(rule->meta_parameters(), resumed->meta_parameters()));
}

TEST_CASE("diayn: the rule takes each episode for the skill that acted in it", "[unit]") {
  for (const char* draw : {"uniform", "balanced"}) {
    const Settings settings{.options = {{"draw", draw}}};
    const auto rule = MakeRule(settings);
    // A discriminator with an opinion.
    TensorMap state = rule->Save();
    state["weights"] = testing::Normals({.seed = 8}, 0, state.at("weights").sizes());
    REQUIRE(rule->Load(state).ok());
    for (const uint32_t outer_step : {0U, 1U, 3 * kIterations + 2}) {
      INFO(draw << ", outer update " << outer_step);
      const uint32_t generation = outer_step / kIterations, iteration = outer_step % kIterations;
      v1::Shard shard = Shard(settings);
      for (uint32_t i = 0; i < kAgents; ++i)
        shard.mutable_lifetimes(static_cast<int>(i))->set_number(generation * kAgents + i);
      const auto loop = MakeLoop(shard, rule->meta_parameters());
      loop->Begin();
      LoopReport of_loop;
      const auto segment = loop->Iterate(
          iteration,
          [&](std::vector<v1::PolicyWeights>) -> absl::StatusOr<Segment> {
            return Random(outer_step);
          },
          &of_loop);
      REQUIRE(segment.ok());
      LifetimeBatch batch;
      batch.environments.assign(kAgents, "somewhere");
      batch.steps = *segment;
      const auto report = rule->Update(batch, outer_step);
      INFO(report.status());
      REQUIRE(report.ok());
      // The reward of the agents equals the reported one.
      CHECK(report->at("pseudo_reward") ==
            Approx(segment->signals.to(torch::kFloat64).mean().item<double>()).margin(1e-4));
      CHECK(report->at("cross_entropy") > 0.1);
      REQUIRE(rule->Load(state).ok());
    }
  }
}

TEST_CASE("diayn: what cannot be is refused", "[unit]") {
  const auto refused = [](const Settings& settings, const std::string& field) {
    Violations violations;
    CHECK(MakeRule(settings, &violations) == nullptr);
    INFO(field << ": " << std::string(violations.ToStatus().message()));
    REQUIRE_FALSE(violations.list().empty());
    CHECK(violations.list()[0].field == field);
  };
  refused({.steps = kSteps + kEpisode}, "lifetime.steps_per_iteration");
  refused({.steps = kSteps + 1}, "lifetime.steps_per_iteration");
  refused({.independent = false}, "lifetime.steps_per_iteration");
  refused({.network = "mlp"}, "signal.name");
  v1::ExperimentSpec bootstraps = Spec({});
  bootstraps.mutable_agent()->set_bootstrap_on_truncation(true);
  Violations violations;
  CHECK(MakeOuterRule({.spec = bootstraps, .shape = Shape({}), .network = Network(bootstraps)},
                      &violations) == nullptr);
  CHECK(violations.list()[0].field == "agent.bootstrap_on_truncation");

  // Other loops refuse the network.
  v1::Shard shard = Shard({});
  shard.mutable_inner_loop()->Clear();
  shard.mutable_inner_loop()->set_name("ppo");
  Violations of_loop;
  CHECK(MakeInnerLoop(shard, {}, nullptr, {}, &of_loop) == nullptr);
  REQUIRE(of_loop.list().size() == 1);
  CHECK(of_loop.list()[0].field == "signal.name");
  CHECK(Contains(of_loop.list()[0].description, "'skills' alone"));

  // Segments without what the episodes ended with.
  const auto rule = MakeRule();
  const Tensor before = rule->meta_parameters().clone();
  LifetimeBatch batch;
  batch.environments.assign(kAgents, "somewhere");
  batch.steps = Random(3);
  batch.steps.final_observations = torch::Tensor();
  CHECK(Contains(rule->Update(batch, 0).status(), "final_observations"));
  batch.steps = Random(3);
  batch.steps.observations[0][0][0] = std::nan("");
  CHECK(Contains(rule->Update(batch, 0).status(), "observations"));
  CHECK(torch::equal(before, rule->meta_parameters()));
}

}  // namespace mentor::methods::TEST_FILE
