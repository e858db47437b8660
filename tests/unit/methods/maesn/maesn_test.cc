// MAESN's inner loop and outer rule together, on made-up environments: what the agents live through
// is what the rule adapts again.
#include <array>
#include <cmath>

#include "agents/policy.h"
#include "common/exact_math.h"
#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"
#include "methods/maesn/loop.h"
#include "tests/normals.h"
#include "tests/pools.h"
#include "tests/specs.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using agents::Segment;
using mentor::testing::Contains;
using torch::Tensor;

constexpr int64_t kAgents = 3, kEpisode = 5, kEpisodes = 8, kSteps = kEpisode * kEpisodes,
                  kHidden = 6, kLatent = 2, kTasks = 5;

struct Settings {
  bool discrete = false;
  uint32_t iterations = 3;
  std::map<std::string, std::string> options = {};
  int64_t tasks = kTasks;
  bool independent = true;
  int64_t steps = kSteps;
};

v1::EnvironmentShape Shape(const Settings& settings) {
  return testing::Shape({.episode_steps = kEpisode,
                         .independent_episodes = settings.independent,
                         .discrete_actions = settings.discrete});
}

v1::ExperimentSpec Spec(const Settings& settings) {
  std::map<std::string, std::string> options = settings.options;
  options.insert({"hidden_units", std::to_string(kHidden)});
  v1::ExperimentSpec spec = testing::SpecOfRule(
      "maesn",
      {.seed = 7, .lifetimes = kAgents, .iterations = settings.iterations, .steps = settings.steps},
      options);
  spec.mutable_rule()->set_outer_updates(11);
  return spec;
}

std::unique_ptr<OuterRule> MakeRule(const Settings& settings, Violations* violations,
                                    int num_threads = 1) {
  return MakeOuterRule({.spec = Spec(settings),
                        .shape = Shape(settings),
                        .listed_tasks = settings.tasks,
                        .pool = testing::Pool(num_threads)},
                       violations);
}

std::unique_ptr<OuterRule> MakeRule(const Settings& settings, int num_threads = 1) {
  Violations violations;
  auto rule = MakeRule(settings, &violations, num_threads);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  return rule;
}

using Tasks = std::array<uint32_t, kAgents>;

// The batch of outer update `step`.
v1::Shard Shard(const Settings& settings, uint32_t step = 0, const Tasks& tasks = {4, 3, 1}) {
  v1::Shard shard;
  *shard.mutable_spec() = Spec(settings);
  *shard.mutable_shape() = Shape(settings);
  *shard.mutable_inner_loop() = InnerLoopOf(shard.spec().rule());
  shard.set_reward_source(v1::REWARD_SOURCE_SHAPED);  // No network: what is learned is a policy.
  shard.set_outer_learning(true);
  for (uint32_t i = 0; i < kAgents; ++i) {
    v1::Lifetime* lifetime = shard.add_lifetimes();
    lifetime->set_number(step * kAgents + i);
    lifetime->set_task_index(tasks[i]);
  }
  return shard;
}

Tensor Normals(uint32_t number, at::IntArrayRef shape) {
  return testing::Normals({.seed = 4}, number, shape);
}

// An environment whose reward is the first number of the action (or its first choice) for even
// agents, the opposite for odd ones.
Collect Environment(const Settings& settings, uint32_t iteration) {
  return [=](const std::vector<v1::PolicyWeights>& policies) -> absl::StatusOr<Segment> {
    REQUIRE(policies.size() == kAgents * kEpisodes);
    const agents::AgentShape shape{.observation_size = 3,
                                   .action_size = 2,
                                   .hidden_units = kHidden,
                                   .critic = false,
                                   .discrete = settings.discrete};
    const agents::ParamLayout layout = AgentLayout(shape);
    const Tensor observations = Normals(10 * iteration, {kAgents * kEpisodes, kEpisode, 3}),
                 noise = Normals(10 * iteration + 1, {kAgents * kEpisodes, kEpisode, 2});
    std::vector<Tensor> rows;
    for (const v1::PolicyWeights& policy : policies) {
      REQUIRE(policy.network() == v1::POLICY_NETWORK_MLP);
      REQUIRE(policy.observation_size() == 3);
      REQUIRE(policy.weights().size() == sizeof(float) * static_cast<size_t>(layout.size()));
      rows.push_back(torch::from_blob(const_cast<char*>(policy.weights().data()), {layout.size()},
                                      torch::kFloat32)
                         .clone());
    }
    const agents::AgentNetworks networks = SplitAgents(layout, torch::stack(rows));
    const Tensor output = Forward(networks.policy, observations);
    const Tensor actions = settings.discrete
                               ? torch::one_hot((output + noise).argmax(2), 2).to(torch::kFloat32)
                               : output + networks.log_std.exp().unsqueeze(1) * noise;
    const auto lives = [](const Tensor& x) { return x.reshape({kAgents, kSteps, -1}).squeeze(-1); };
    Segment segment;
    segment.observations = lives(observations);
    segment.actions = lives(actions);
    segment.log_probs = lives(agents::LogProb(output, networks.log_std, actions));
    segment.success_signals = segment.actions.select(2, 0).clone();
    segment.success_signals[1].neg_();
    segment.successes = segment.success_signals.gt(0).to(torch::kFloat32);
    segment.shaped_rewards = segment.success_signals.to(torch::kFloat64) + 2;
    segment.prev_done = torch::zeros({kAgents, kSteps});
    segment.last_done = torch::ones({kAgents});
    segment.next_observations = torch::zeros({kAgents, 3});
    return segment;
  };
}

std::unique_ptr<InnerLoop> MakeLoop(const v1::Shard& shard, const Tensor& parameters) {
  Violations violations;
  auto loop = MakeInnerLoop(shard, parameters, nullptr, {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(loop != nullptr);
  return loop;
}

// Training lives under the rule's meta-parameters: as many iterations as the rule asks for.
LifetimeBatch Live(const Settings& settings, const OuterRule& rule, uint32_t step = 0,
                   const Tasks& tasks = {4, 3, 1}) {
  const v1::Shard shard = Shard(settings, step, tasks);
  const auto loop = MakeLoop(shard, rule.meta_parameters());
  loop->Begin();
  std::vector<Segment> segments;
  LoopReport report;
  for (uint32_t i = 0; i < rule.needs().training_iterations; ++i) {
    const auto segment = loop->Iterate(i, Environment(settings, i), &report);
    REQUIRE(segment.ok());
    segments.push_back(*segment);
  }
  CHECK(report.statistics.at("latent_step_0") > 1e-3);
  LifetimeBatch batch;
  batch.environments.assign(kAgents, "somewhere");
  batch.task_indices = torch::empty({kAgents}, torch::kInt64);
  for (int64_t i = 0; i < kAgents; ++i) batch.task_indices[i] = int64_t{tasks[i]};
  batch.steps_per_iteration = kSteps;
  batch.steps = agents::Join(segments);
  return batch;
}

const LatentConfig kConfig{
    .policy = {.observation_size = 3, .action_size = 2, .hidden_units = kHidden, .critic = false},
    .latent = kLatent};

Tensor Rows(const Tensor& parameters, const char* name) {
  return LatentLayout(kConfig, kTasks).Part(name, parameters).view({kTasks, kLatent});
}

TEST_CASE("maesn: the rule adapts as the agents did and its step moves what it should", "[unit]") {
  for (const bool discrete : {false, true}) {
    for (const char* outer : {"ppo", "trpo"}) {
      for (const char* steps : {"1", "2"}) {
        INFO("discrete " << discrete << ", " << outer << ", steps " << steps);
        const Settings settings{
            .discrete = discrete,
            .options = {{"outer", outer}, {"adaptation_steps", steps}, {"adaptation_rate", "0.3"}}};
        const auto rule = MakeRule(settings), other = MakeRule(settings, /*num_threads=*/3);
        const LifetimeBatch batch = Live(settings, *rule);
        const Tensor before = rule->meta_parameters().clone();
        const auto report = rule->Update(batch, 0);
        INFO(report.status().ToString());
        REQUIRE(report.ok());
        CHECK(report->at("rho_error") < 1e-4);
        CHECK(report->at("kl") > 0);
        CHECK(report->at("latent_std") == 1);
        CHECK(std::abs(report->at("alpha_mu") - 0.3) < 1e-6);
        CHECK_FALSE(torch::equal(before, rule->meta_parameters()));
        REQUIRE(other->Update(batch, 0).ok());
        CHECK(torch::equal(other->meta_parameters(), rule->meta_parameters()));
      }
    }
  }
}

TEST_CASE("maesn: latents and moments of tasks that are not in the round stay", "[unit]") {
  const Settings settings{.options = {{"adaptation_rate", "0.3"}}};
  const auto rule = MakeRule(settings);
  const Tensor born = rule->meta_parameters().clone();
  // Tasks begin with means of their own.
  CHECK(Rows(born, "mu").abs().min().item<double>() > 1e-4);
  CHECK(Rows(born, "log_sigma").eq(0).all().item<bool>());
  REQUIRE(rule->Update(Live(settings, *rule), 0).ok());
  const Tensor after = rule->meta_parameters();
  for (const char* name : {"mu", "log_sigma"}) {
    for (const int64_t task : {0, 2})
      CHECK(torch::equal(Rows(after, name)[task], Rows(born, name)[task]));
    for (const int64_t task : {1, 3, 4})
      CHECK((Rows(after, name) - Rows(born, name))[task].abs().min().item<double>() > 0);
    for (const char* moment : {"adam.m", "adam.v"}) {
      const Tensor rows = Rows(rule->Save().at(moment), name);
      for (const int64_t task : {0, 2}) CHECK(rows[task].eq(0).all().item<bool>());
      for (const int64_t task : {1, 3, 4}) CHECK(rows[task].ne(0).all().item<bool>());
    }
  }
  // The moments of earlier rounds do not move them, either.
  REQUIRE(rule->Update(Live(settings, *rule, 1, {4, 3, 0}), 1).ok());
  CHECK(torch::equal(Rows(rule->meta_parameters(), "mu")[1], Rows(after, "mu")[1]));
  CHECK_FALSE(torch::equal(Rows(rule->meta_parameters(), "mu")[0], Rows(after, "mu")[0]));
  const auto zero = MakeRule({.options = {{"initial_mu", "zero"}}});
  CHECK(Rows(zero->meta_parameters(), "mu").eq(0).all().item<bool>());
}

TEST_CASE("maesn: the policy's deviation keeps its floor and the learning rate falls", "[unit]") {
  const agents::ParamLayout layout = LatentLayout(kConfig, kTasks);
  const Settings floor{.options = {{"initial_std", "0.3"}, {"min_std", "0.29999"}}};
  const auto rule = MakeRule(floor);
  REQUIRE(rule->Update(Live(floor, *rule), 0).ok());
  CHECK(layout.Part("logstd", rule->meta_parameters()).min().item<double>() >=
        exact::Log(0.29999) - 1e-6);
  // One step of Adam from new moments has the length of the rate in every place.
  const auto moved = [&](uint32_t step) {
    const Settings settings{.options = {{"epochs", "1"}, {"learning_rate", "0.01"}}};
    const auto fresh = MakeRule(settings);
    const Tensor before = fresh->meta_parameters().clone();
    REQUIRE(fresh->Update(Live(settings, *fresh, step), step).ok());
    return (fresh->meta_parameters() - before).abs().max().item<double>();
  };
  CHECK(std::abs(moved(0) - 0.01) < 1e-4);
  CHECK(std::abs(moved(5) - 0.0055) < 1e-4);
  CHECK(std::abs(moved(10) - 0.001) < 1e-5);
}

TEST_CASE("maesn: evaluations take more steps and unseen tasks begin with the prior", "[unit]") {
  const Settings settings{.options = {{"evaluation_steps", "2"}}};
  const auto rule = MakeRule(settings);
  v1::Shard shard = Shard(settings);
  shard.set_outer_learning(false);
  for (v1::Lifetime& lifetime : *shard.mutable_lifetimes()) lifetime.clear_task_index();
  const auto loop = MakeLoop(shard, rule->meta_parameters());
  loop->Begin();
  CHECK(loop->Save().at("agents.mu").eq(0).all().item<bool>());
  CHECK(loop->Save().at("agents.log_sigma").eq(0).all().item<bool>());
  LoopReport report;
  std::vector<Tensor> mu;
  for (uint32_t i = 0; i < 3; ++i) {
    REQUIRE(loop->Iterate(i, Environment(settings, i), &report).ok());
    mu.push_back(loop->Save().at("agents.mu").clone());
  }
  CHECK_FALSE(torch::equal(mu[0], mu[1]));
  CHECK(torch::equal(mu[1], mu[2]));
  // In training the task has its own latent.
  const v1::Shard listed = Shard(settings);
  const auto training = MakeLoop(listed, rule->meta_parameters());
  training->Begin();
  CHECK(torch::equal(training->Save().at("agents.mu")[0],
                     Rows(rule->meta_parameters(), "mu")[4].to(torch::kFloat64)));
}

TEST_CASE("maesn: a step that is not finite is skipped and counted", "[unit]") {
  const Settings settings{.options = {{"adaptation_reward", "shaped"}, {"objective", "success"}}};
  const auto rule = MakeRule(settings);
  TensorMap state = rule->Save();
  // exp of the new log deviation overflows.
  LatentLayout(kConfig, kTasks).Part("alpha_log_sigma", state["weights"]).fill_(1e30);
  REQUIRE(rule->Load(state).ok());
  const v1::Shard shard = Shard(settings);
  const auto loop = MakeLoop(shard, rule->meta_parameters());
  loop->Begin();
  const Tensor before = loop->Save().at("agents.log_sigma").clone();
  LoopReport report;
  REQUIRE(loop->Iterate(0, Environment(settings, 0), &report).ok());
  const Tensor after = loop->Save().at("agents.log_sigma");
  CHECK(after.isfinite().all().item<bool>());
  REQUIRE(report.nonfinite_updates > 0);
  int64_t kept = 0;
  for (int64_t s = 0; s < kAgents; ++s) kept += torch::equal(before[s], after[s]);
  CHECK(kept == static_cast<int64_t>(report.nonfinite_updates));
}

TEST_CASE("maesn: what cannot be is refused", "[unit]") {
  const auto refused = [](const Settings& settings, const std::string& field) {
    Violations violations;
    CHECK(MakeRule(settings, &violations) == nullptr);
    INFO(field << ": " << std::string(violations.ToStatus().message()));
    REQUIRE(violations.list().size() == 1);
    CHECK(violations.list()[0].field == field);
  };
  refused({.tasks = 0}, "benchmark");
  refused({.independent = false}, "lifetime.steps_per_iteration");
  refused({.steps = kSteps + 1}, "lifetime.steps_per_iteration");
  refused({.steps = kEpisode}, "lifetime.steps_per_iteration");
  refused({.iterations = 2, .options = {{"adaptation_steps", "2"}}}, "lifetime.iterations");
  refused({.options = {{"latent", "65"}}}, "rule.option.latent");
  CHECK(MakeRule({.steps = 2 * kEpisode}) != nullptr);

  // Agents that acted with other latents than those that the adaptation gives.
  const Settings settings;
  const auto rule = MakeRule(settings);
  const TensorMap before = rule->Save();
  const auto update = [&](auto damage) {
    LifetimeBatch batch = Live(settings, *rule);
    damage(&batch);
    const absl::Status status = rule->Update(batch, 0).status();
    for (const auto& [name, tensor] : rule->Save()) CHECK(torch::equal(tensor, before.at(name)));
    return status;
  };
  CHECK(Contains(update([](auto* batch) { batch->steps.log_probs = batch->steps.log_probs + 0.1; }),
                 "did not act with the policy"));
  CHECK(Contains(update([](auto* batch) { batch->environments.pop_back(); }),
                 "has 2 lifetimes, expected 3"));
  for (const int64_t task : {int64_t{-1}, kTasks}) {
    CHECK(Contains(update([&](auto* batch) { batch->task_indices[0] = task; }),
                   "none of the 5 training tasks"));
  }
  // The same lives as of another outer update: their latents were others.
  CHECK(Contains(rule->Update(Live(settings, *rule, 1), 0).status(), "did not act"));

  Violations violations;
  v1::Shard shard = Shard(settings);
  CHECK(MakeInnerLoop(shard, rule->meta_parameters().narrow(0, 0, 10).clone(), nullptr, {},
                      &violations) == nullptr);
  for (v1::Lifetime& lifetime : *shard.mutable_lifetimes()) lifetime.set_task_index(kTasks);
  CHECK(MakeInnerLoop(shard, rule->meta_parameters(), nullptr, {}, &violations) == nullptr);
  CHECK(violations.list().size() == 2);  // One for each call, not for each lifetime.
}

}  // namespace mentor::methods::TEST_FILE
