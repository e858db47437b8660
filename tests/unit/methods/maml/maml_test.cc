// MAML's inner loop and outer rule together, on made-up environments: what the agents live through
// is what the rule adapts again.
#include <cmath>

#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"
#include "methods/maml/loop.h"
#include "tests/normals.h"
#include "tests/pools.h"
#include "tests/specs.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using agents::Segment;
using mentor::testing::Contains;
using torch::Tensor;

constexpr int64_t kAgents = 3, kSteps = 40, kEpisode = 10, kHidden = 6;

struct Settings {
  bool discrete = false;
  uint32_t iterations = 4;
  std::map<std::string, std::string> options = {};
};

v1::EnvironmentShape Shape(const Settings& settings) {
  return testing::Shape({.episode_steps = kEpisode, .discrete_actions = settings.discrete});
}

v1::ExperimentSpec Spec(const Settings& settings) {
  std::map<std::string, std::string> options = settings.options;
  options.insert({"hidden_units", std::to_string(kHidden)});
  return testing::SpecOfRule(
      "maml", {.seed = 7, .lifetimes = kAgents, .iterations = settings.iterations, .steps = kSteps},
      options);
}

std::unique_ptr<OuterRule> MakeRule(const Settings& settings, Violations* violations,
                                    int num_threads = 1) {
  return MakeOuterRule(
      {.spec = Spec(settings), .shape = Shape(settings), .pool = testing::Pool(num_threads)},
      violations);
}

std::unique_ptr<OuterRule> MakeRule(const Settings& settings, int num_threads = 1) {
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
  shard.set_reward_source(v1::REWARD_SOURCE_SHAPED);  // No network: what is learned is a policy.
  shard.set_outer_learning(true);
  for (uint32_t i = 0; i < kAgents; ++i) shard.add_lifetimes()->set_number(i);
  return shard;
}

Tensor Normals(uint32_t number, at::IntArrayRef shape) {
  return testing::Normals({.seed = 4}, number, shape);
}

// An environment whose reward is the first number of the action (or its first choice) for even
// agents, the opposite for odd ones.
Collect Environment(const Settings& settings, uint32_t iteration) {
  return [=](const std::vector<v1::PolicyWeights>& policies) -> absl::StatusOr<Segment> {
    const StateStdPolicy policy({.observation_size = 3,
                                 .action_size = 2,
                                 .hidden_units = kHidden,
                                 .discrete = settings.discrete});
    std::vector<Tensor> actions, log_probs, rewards;
    const Tensor observations = Normals(10 * iteration, {kAgents, kSteps, 3}),
                 noise = Normals(10 * iteration + 1, {kAgents, kSteps, 2});
    for (int64_t s = 0; s < kAgents; ++s) {
      const std::string& bytes = policies[s].weights();
      const Tensor weights = torch::from_blob(const_cast<char*>(bytes.data()),
                                              {policy.layout().size()}, torch::kFloat32)
                                 .clone();
      const ActionDistribution d = policy.Forward(weights, observations[s]);
      actions.push_back(settings.discrete
                            ? torch::one_hot((d.output + noise[s]).argmax(1), 2).to(torch::kFloat32)
                            : d.output + d.log_std.exp() * noise[s]);
      log_probs.push_back(LogProb(d, actions.back()));
      rewards.push_back(actions.back().select(1, 0) * (s % 2 == 0 ? 1.0 : -1.0));
    }
    Segment segment;
    segment.observations = observations;
    segment.actions = torch::stack(actions);
    segment.log_probs = torch::stack(log_probs);
    segment.success_signals = torch::stack(rewards);
    segment.successes = segment.success_signals.gt(0).to(torch::kFloat32);
    segment.shaped_rewards = segment.success_signals.to(torch::kFloat64) + 2;
    segment.prev_done = torch::zeros({kAgents, kSteps});
    for (int64_t t = iteration == 0 ? kEpisode : 0; t < kSteps; t += kEpisode)
      segment.prev_done.select(1, t).fill_(1);
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

// Whole lives under the rule's meta-parameters.
LifetimeBatch Live(const Settings& settings, const Tensor& parameters) {
  const v1::Shard shard = Shard(settings);
  const auto loop = MakeLoop(shard, parameters);
  loop->Begin();
  std::vector<Segment> segments;
  LoopReport report;
  for (uint32_t i = 0; i < settings.iterations; ++i) {
    const auto segment = loop->Iterate(i, Environment(settings, i), &report);
    REQUIRE(segment.ok());
    segments.push_back(*segment);
  }
  CHECK(report.statistics.at("adaptation_length_0") > 1e-4);
  LifetimeBatch batch;
  batch.environments.assign(kAgents, "somewhere");
  batch.steps_per_iteration = kSteps;
  batch.steps = agents::Join(segments);
  return batch;
}

TEST_CASE("maml: Monte Carlo returns and baseline restart at the ends of episodes", "[unit]") {
  const auto estimate = MonteCarloAdvantages(torch::tensor({1.0, 2.0, 4.0, 8.0}, torch::kFloat64),
                                             torch::tensor({1.0, 0.0, 1.0, 0.0}, torch::kFloat64),
                                             /*gamma=*/0.5, /*mean_reward=*/1);
  // The first prev_done does not end an episode.
  CHECK(torch::equal(estimate.returns, torch::tensor({2.0, 2.0, 8.0, 8.0}, torch::kFloat64)));
  CHECK(torch::equal(estimate.baseline, torch::tensor({1.5, 1.0, 1.5, 1.0}, torch::kFloat64)));
  CHECK(std::abs(estimate.advantages.mean().item<double>()) < 1e-12);
  CHECK(std::abs(estimate.advantages.std().item<double>() - 1) < 1e-6);
  // Rewards that say nothing move nothing.
  const auto silent = MonteCarloAdvantages(torch::zeros({5}), torch::zeros({5}), 0.9, 0);
  CHECK(silent.advantages.eq(0).all().item<bool>());
}

TEST_CASE("maml: a policy's std is one number for each observation; KL is that of its densities",
          "[unit]") {
  const StateStdPolicy policy({.observation_size = 3, .action_size = 2, .hidden_units = kHidden});
  CHECK(policy.layout().size() == (3 * 6 + 6) + (36 + 6) + (12 + 2) + (3 * 6 + 6) + (6 + 1));
  const Tensor born = policy.InitialWeights({.seed = 1, .purpose = Purpose::kAgentWeights});
  const auto at_birth = policy.Forward(born, Normals(1, {5, 3}));
  CHECK(at_birth.output.abs().max().item<double>() < 0.05);
  CHECK(at_birth.log_std.abs().max().item<double>() < 0.05);

  const Tensor weights = Normals(2, {2, policy.layout().size()}).to(torch::kFloat64);
  const Tensor o = Normals(3, {1, 3}).to(torch::kFloat64);
  const auto p = policy.Forward(weights[0], o), q = policy.Forward(0.7 * weights[1], o);
  REQUIRE(p.log_std.sizes() == at::IntArrayRef({1, 1}));
  // Computed from the definition, over a fine grid of actions around p.
  const Tensor grid = torch::linspace(-8, 8, 801, torch::kFloat64) * p.log_std.exp().squeeze();
  const auto axes = torch::meshgrid({grid + p.output[0][0], grid + p.output[0][1]}, "ij");
  const Tensor actions = torch::stack({axes[0].flatten(), axes[1].flatten()}, 1);
  const Tensor log_p = LogProb(p, actions), log_q = LogProb(q, actions);
  const double cell = std::pow((grid[1] - grid[0]).item<double>(), 2);
  CHECK(std::abs((log_p.exp().sum() * cell).item<double>() - 1) < 1e-6);
  const double kl = (log_p.exp() * (log_p - log_q)).sum().item<double>() * cell;
  CHECK(std::abs(MeanKl(p, q).item<double>() - kl / 2) < 1e-6);
  CHECK(std::abs(MeanKl(p, p).item<double>()) < 1e-14);

  const StateStdPolicy choice(
      {.observation_size = 3, .action_size = 4, .hidden_units = kHidden, .discrete = true});
  const auto logits = choice.Forward(Normals(4, {choice.layout().size()}), Normals(5, {6, 3}));
  CHECK_FALSE(logits.log_std.defined());
  const Tensor all = LogProb(logits, torch::eye(4)[2].repeat({6, 1})) - logits.output.select(1, 2) +
                     logits.output.logsumexp(1);
  CHECK(all.abs().max().item<double>() < 1e-5);
  CHECK(choice.ToProto(torch::zeros({choice.layout().size()})).network() == v1::POLICY_NETWORK_MLP);
}

TEST_CASE("maml: KL of two discrete policies is that of their probabilities", "[unit]") {
  // Logits may be off by a constant.
  const auto policy = [](std::vector<std::vector<double>> rows, double offset) {
    std::vector<Tensor> logits;
    for (const auto& row : rows) logits.push_back(torch::tensor(row, torch::kFloat64).log());
    return ActionDistribution{.output = torch::stack(logits) + offset, .log_std = {}};
  };
  const std::vector<std::vector<double>> p = {{0.5, 0.25, 0.25}, {0.2, 0.3, 0.5}},
                                         q = {{0.25, 0.5, 0.25}, {0.7, 0.1, 0.2}};
  // sum p ln(p / q), the mean of both observations.
  double forward = 0, backward = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    for (size_t a = 0; a < p[i].size(); ++a) {
      forward += p[i][a] * std::log(p[i][a] / q[i][a]) / 2;
      backward += q[i][a] * std::log(q[i][a] / p[i][a]) / 2;
    }
  }
  CHECK(std::abs(forward - backward) > 0.01);
  CHECK(MeanKl(policy(p, 3), policy(q, -2)).item<double>() == Approx(forward).epsilon(1e-12));
  CHECK(MeanKl(policy(q, 0), policy(p, 5)).item<double>() == Approx(backward).epsilon(1e-12));
  CHECK(std::abs(MeanKl(policy(p, 0), policy(p, 1)).item<double>()) < 1e-14);
}

TEST_CASE("maml: the rule adapts as the agents did, and its step lowers the surrogate", "[unit]") {
  for (const bool discrete : {false, true}) {
    for (const bool first_order : {true, false}) {
      INFO("discrete " << discrete << ", first order " << first_order);
      const Settings settings{
          .discrete = discrete,
          .options = {{"first_order", first_order ? "true" : "false"},
                      {"adaptation_reward", first_order ? "success" : "shaped"}}};
      const auto rule = MakeRule(settings), other = MakeRule(settings, /*num_threads=*/3);
      const LifetimeBatch batch = Live(settings, rule->meta_parameters());
      const Tensor before = rule->meta_parameters().clone();
      const auto report = rule->Update(batch, 0);
      INFO(report.status().ToString());
      REQUIRE(report.ok());
      CHECK(report->at("rho_error") < 1e-5);
      CHECK(report->at("alpha") > 0);
      CHECK(report->at("surrogate") < 0);
      CHECK(report->at("kl") < 0.001);
      CHECK_FALSE(torch::equal(before, rule->meta_parameters()));
      REQUIRE(other->Update(batch, 0).ok());
      CHECK(torch::equal(other->meta_parameters(), rule->meta_parameters()));
    }
  }
}

TEST_CASE("maml: where no tried step keeps the bound, the weights stay", "[unit]") {
  const Settings settings{.options = {{"line_search_start", "1000"}, {"line_search_tries", "1"}}};
  const auto rule = MakeRule(settings);
  const Tensor before = rule->meta_parameters().clone();
  const auto report = rule->Update(Live(settings, before), 0);
  REQUIRE(report.ok());
  CHECK(report->at("alpha") == 0);
  // The mean reward behind the weights is new.
  const int64_t weights = before.numel() - 1;
  CHECK(torch::equal(before.narrow(0, 0, weights), rule->meta_parameters().narrow(0, 0, weights)));
}

TEST_CASE("maml: every lifetime is judged by its own rewards", "[unit]") {
  const Settings settings{.options = {{"objective", "shaped"}, {"adaptation_reward", "success"}}};
  const auto rule = MakeRule(settings);
  const LifetimeBatch batch = Live(settings, rule->meta_parameters());
  const auto gradient = [&](const LifetimeBatch& of) {
    return MakeRule(settings)->Update(of, 0)->at("outer_grad_norm");
  };
  const double want = gradient(batch);
  for (int64_t s = 0; s < kAgents; ++s) {
    // The same rewards in another order, so that their mean stays.
    LifetimeBatch other = batch;
    other.steps.shaped_rewards = batch.steps.shaped_rewards.clone();
    Tensor judged = other.steps.shaped_rewards[s].narrow(
        0, (static_cast<int64_t>(settings.iterations) - 1) * kSteps, kSteps);
    judged.copy_(judged.flip(0).clone());
    INFO("lifetime " << s);
    CHECK(std::abs(gradient(other) - want) > 1e-6);
  }
}

TEST_CASE("maml: the mean reward of the last lifetimes travels behind the weights", "[unit]") {
  const Settings settings{.options = {{"mean_lifetimes", "4"}}};
  const auto rule = MakeRule(settings);
  const auto last = [&] {
    const Tensor parameters = rule->meta_parameters();
    return parameters[parameters.numel() - 1].item<double>();
  };
  CHECK(last() == 0);
  std::vector<double> means;
  for (uint32_t step = 0; step < 3; ++step) {
    const LifetimeBatch batch = Live(settings, rule->meta_parameters());
    REQUIRE(rule->Update(batch, step).ok());
    for (int64_t s = 0; s < kAgents; ++s)
      means.push_back(batch.steps.success_signals[s].to(torch::kFloat64).mean().item<double>());
    double sum = 0;
    const size_t count = std::min<size_t>(4, means.size());
    for (size_t i = means.size() - count; i < means.size(); ++i) sum += means[i];
    CHECK(std::abs(last() - sum / static_cast<double>(count)) < 1e-6);
  }
  const auto resumed = MakeRule(settings);
  REQUIRE(resumed->Load(rule->Save()).ok());
  CHECK(torch::equal(resumed->meta_parameters(), rule->meta_parameters()));
  const LifetimeBatch batch = Live(settings, rule->meta_parameters());
  REQUIRE(rule->Update(batch, 3).ok());
  REQUIRE(resumed->Update(batch, 3).ok());
  CHECK(torch::equal(resumed->meta_parameters(), rule->meta_parameters()));
}

// Here the shaped reward is the success signal and 2 more, so agents that adapt to either with its
// own mean as the baseline adapt alike. So must rules that maximise success.
TEST_CASE("maml: the baseline of success is the mean success, whatever agents adapt to", "[unit]") {
  const auto update = [](const std::string& adaptation, double mean_reward) {
    const Settings settings{
        .options = {{"objective", "success"}, {"adaptation_reward", adaptation}}};
    const auto rule = MakeRule(settings);
    TensorMap state = rule->Save();
    state["recent_rewards"] = torch::full({1}, mean_reward, torch::kFloat64);
    CHECK(state.contains("recent_successes") == (adaptation == "shaped"));
    if (adaptation == "shaped")
      state["recent_successes"] = torch::full({1}, mean_reward - 2, torch::kFloat64);
    REQUIRE(rule->Load(state).ok());
    const LifetimeBatch batch = Live(settings, rule->meta_parameters());
    REQUIRE(rule->Update(batch, 0).ok());
    if (adaptation == "shaped") {
      const Tensor means = batch.steps.success_signals.to(torch::kFloat64).mean(1);
      const Tensor kept = rule->Save().at("recent_successes");
      CHECK(kept.numel() == 1 + kAgents);
      CHECK(torch::equal(kept.narrow(0, 1, kAgents), means));
    }
    const Tensor parameters = rule->meta_parameters();
    return parameters.narrow(0, 0, parameters.numel() - 1).clone();
  };
  const Tensor want = update("success", 0.5);
  CHECK(want.allclose(update("shaped", 2.5), 1e-4, 1e-5));
  CHECK_FALSE(want.allclose(update("success", 2.5), 1e-4, 1e-5));
}

TEST_CASE("maml: a snapshot between two iterations goes on as the agents would", "[unit]") {
  const Settings settings;
  const v1::Shard shard = Shard(settings);
  const Tensor parameters = MakeRule(settings)->meta_parameters();
  const auto whole = MakeLoop(shard, parameters), resumed = MakeLoop(shard, parameters);
  LoopReport report;
  whole->Begin();
  REQUIRE(whole->Iterate(0, Environment(settings, 0), &report).ok());
  REQUIRE(resumed->Load(whole->Save()).ok());
  for (const auto& loop : {whole.get(), resumed.get()})
    REQUIRE(loop->Iterate(1, Environment(settings, 1), &report).ok());
  for (int64_t s = 0; s < kAgents; ++s)
    CHECK(whole->Policies()[s].weights() == resumed->Policies()[s].weights());
  CHECK(whole->Policies()[0].weights() != whole->Policies()[1].weights());
  CHECK_FALSE(resumed->Load({}).ok());
}

TEST_CASE("maml: negative shaped rewards are maximised, normalised or as they are", "[unit]") {
  const auto update = [](const std::string& objective, double scale) {
    const Settings settings{.options = {{"objective", objective}, {"target_mean", "1"}}};
    const auto rule = MakeRule(settings);
    LifetimeBatch batch = Live(settings, rule->meta_parameters());
    batch.steps.shaped_rewards = scale * (batch.steps.shaped_rewards - 5);
    const auto report = rule->Update(batch, 0);
    REQUIRE(report.ok());
    CHECK(report->contains("reward_rms/somewhere") == (objective == "shaped"));
    CHECK(rule->Save().at("normaliser/somewhere").numel() == (objective == "shaped" ? 4 : 2));
    return rule->meta_parameters().clone();
  };
  // The same rewards in other units: normalised they are one objective. So they are where the
  // objective is the reward itself, by its root mean square, with its own mean as the baseline.
  const Tensor shaped = update("shaped", 1);
  CHECK(shaped.allclose(update("shaped", 1000), 1e-5, 1e-6));
  const LifetimeBatch batch = Live({}, MakeRule({})->meta_parameters());
  const double rms = (batch.steps.shaped_rewards - 5).square().mean().sqrt().item<double>();
  CHECK(shaped.allclose(update("raw", 1 / rms), 1e-5, 1e-6));
}

TEST_CASE("maml: what cannot be is refused", "[unit]") {
  Violations violations;
  CHECK(MakeRule({.iterations = 2}, &violations) == nullptr);
  REQUIRE(violations.list().size() == 1);
  CHECK(violations.list()[0].field == "rule.option.adaptation_steps");

  // Agents that acted with other weights than those that the adaptation gives.
  const Settings settings;
  const auto rule = MakeRule(settings);
  const Tensor before = rule->meta_parameters().clone();
  LifetimeBatch batch = Live(settings, rule->meta_parameters());
  batch.steps.log_probs = batch.steps.log_probs + 0.1;
  const auto other_policy = rule->Update(batch, 0);
  CHECK(other_policy.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Contains(other_policy.status(), "did not act with the policy"));

  batch = Live(settings, rule->meta_parameters());
  batch.environments.pop_back();
  CHECK(Contains(rule->Update(batch, 0).status(), "has 2 lifetimes, expected 3"));
  CHECK(torch::equal(rule->meta_parameters(), before));

  v1::Shard shard = Shard(settings);
  CHECK(MakeInnerLoop(shard, before.narrow(0, 0, 10).clone(), nullptr, {}, &violations) == nullptr);
}

}  // namespace mentor::methods::TEST_FILE
