#include <functional>
#include <map>
#include <optional>

#include "agents/numerics.h"
#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"
#include "methods/rl2/recurrent_policy.h"
#include "methods/rl2/rule.h"
#include "tests/golden.h"
#include "tests/normals.h"
#include "tests/pools.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using Catch::Contains;
using torch::Tensor;

// LibTorch multiplies matrices here.
const absl::Status fixed = agents::FixNumerics();

constexpr int64_t kLifetimes = 7, kSteps = 30;

v1::ExperimentSpec Spec(const std::map<std::string, std::string>& options = {}) {
  std::map<std::string, std::string> all = {
      {"k", "8"},         {"epochs", "3"},     {"learning_rate", "3e-3"}, {"encoder1", "6"},
      {"encoder2", "4"},  {"lstm_units", "9"}, {"head_units", "5"},       {"critic_units", "7"},
      {"target_kl", "0"}, {"target_mean", "1"}};
  for (const auto& [name, value] : options) all[name] = value;
  v1::ExperimentSpec spec =
      testing::SpecOfRule("rl2", {.lifetimes = kLifetimes, .iterations = 1, .steps = kSteps}, all);
  spec.mutable_agent()->set_initial_std(0.5);
  spec.mutable_evaluation()->set_deterministic_episodes(0);
  spec.mutable_rule()->set_outer_updates(10);
  return spec;
}

v1::EnvironmentShape Shape(bool discrete) {
  return testing::Shape({.discrete_actions = discrete});
}

constexpr EpisodicMemory kMemory{.radius = 0.3, .capacity = 3, .context_size = 2};

RecurrentPolicy Policy(bool discrete, std::optional<EpisodicMemory> memory = {}) {
  return {.observation_size = 3,
          .action_size = 2,
          .discrete = discrete,
          .encoder1 = 6,
          .encoder2 = 4,
          .lstm = 9,
          .heads = 5,
          .critic = 7,
          .memory = memory};
}
const std::map<std::string, std::string> kEpisodic = {
    {"memory", "episodic"}, {"reinstate_radius", "0.3"}, {"capacity", "3"}, {"context_size", "2"}};

std::unique_ptr<OuterRule> MakeRule(const v1::ExperimentSpec& spec, bool discrete = false,
                                    int num_threads = 2) {
  Violations violations;
  auto rule = MakeOuterRule({.spec = spec,
                             .shape = Shape(discrete),
                             .network = nullptr,
                             .pool = testing::Pool(num_threads)},
                            &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  return rule;
}

std::string Refusal(const v1::ExperimentSpec& spec) {
  Violations violations;
  CHECK(MakeOuterRule({.spec = spec, .shape = Shape(false), .network = nullptr}, &violations) ==
        nullptr);
  return std::string(violations.ToStatus().message());
}

Tensor Normals(uint32_t number, at::IntArrayRef shape, uint32_t round) {
  return testing::Normals({.seed = 3, .lifetime = round}, number, shape);
}

// Lifetimes with any actions, and the densities and values that these weights give them.
LifetimeBatch Collect(const Tensor& weights, bool discrete, uint32_t round = 0,
                      std::optional<EpisodicMemory> memory = {}) {
  LifetimeBatch batch;
  batch.environments.assign(kLifetimes, "door");
  batch.steps_per_iteration = kSteps;
  agents::Segment& steps = batch.steps;
  steps.observations = Normals(0, {kLifetimes, kSteps, 3}, round);
  steps.actions = Normals(1, {kLifetimes, kSteps, 2}, round);
  if (discrete) steps.actions = torch::one_hot(steps.actions.argmax(-1), 2).to(torch::kFloat32);
  // The first action pays: what the policy should learn.
  steps.shaped_rewards = steps.actions.select(2, 0).to(torch::kFloat64).clamp(-1, 1) + 1.5;
  steps.success_signals = Normals(2, {kLifetimes, kSteps}, round).gt(1).to(torch::kFloat32);
  steps.prev_done = torch::zeros({kLifetimes, kSteps});
  for (int64_t t = 10; t < kSteps; t += 10) steps.prev_done.select(1, t).fill_(1);
  // Contexts come back, in an order of each lifetime's own: which of three, with small changes.
  if (memory) {
    for (int64_t l = 0; l < kLifetimes; ++l) {
      for (int64_t t = 0; t < kSteps; t += 5 + l) {
        steps.observations[l][t][0] = static_cast<double>((l + t) % 3);
        steps.observations[l][t][1].mul_(0.1);
        steps.prev_done[l][t] = t > 0;
      }
    }
  }
  const RecurrentPolicy policy = Policy(discrete, memory);
  const torch::NoGradGuard no_grad;
  const auto lives = LiveAgain(policy, weights, steps, nullptr);
  const auto outputs =
      policy.Forward(weights, lives->features, policy.InitialState(kLifetimes, torch::kFloat32));
  steps.log_probs = RecurrentLogProb(outputs, steps.actions);
  steps.signal_values = outputs.values.contiguous();
  return batch;
}

bool Same(const TensorMap& a, const TensorMap& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    if (!b.contains(name) || !tensor.equal(b.at(name))) return false;
  }
  return true;
}

TEST_CASE("rl2: an update makes what paid likelier, the same bits with any number of threads",
          "[unit]") {
  for (const auto& [discrete, episodic] :
       {std::pair(false, false), {true, false}, {false, true}, {true, true}}) {
    INFO((discrete ? "discrete" : "continuous") << (episodic ? ", episodic" : ""));
    const auto memory = episodic ? std::optional(kMemory) : std::nullopt;
    const v1::ExperimentSpec spec = episodic ? Spec(kEpisodic) : Spec();
    const auto rule = MakeRule(spec, discrete, 1), other = MakeRule(spec, discrete, 3);
    CHECK_FALSE(rule->needs().signal_network());
    const LifetimeBatch batch = Collect(rule->meta_parameters(), discrete, 0, memory);
    const auto report = rule->Update(batch, 0);
    INFO(std::string(report.status().message()));
    REQUIRE(report.ok());
    CHECK(report->at("epochs") == 3);
    CHECK(report->at("rho_error") < 1e-4);
    REQUIRE(other->Update(batch, 0).ok());
    CHECK(Same(rule->Save(), other->Save()));

    const LifetimeBatch after = Collect(rule->meta_parameters(), discrete, 0, memory);
    const Tensor reward = batch.steps.shaped_rewards - batch.steps.shaped_rewards.mean();
    const Tensor change = (after.steps.log_probs - batch.steps.log_probs).to(torch::kFloat64);
    CHECK((reward * change).mean().item<double>() > 0);
  }
}

// A plain loop over the steps of one lifetime after the other: what each episode read, and what was
// there to be read.
TEST_CASE("rl2: a life lived again reads what it read, whoever lives beside it", "[unit]") {
  for (const bool reset : {true, false}) {
    EpisodicMemory memory = kMemory;
    memory.reset_at_episode = reset;
    const RecurrentPolicy policy = Policy(true, memory);
    const Tensor weights = Normals(9, {policy.Layout().size()}, 0) * 0.4;
    const agents::Segment steps = Collect(weights, true, 0, memory).steps;
    agents::WorkerPool pool(3);
    const auto lives = LiveAgain(policy, weights, steps, &pool);
    REQUIRE(lives.ok());
    const torch::NoGradGuard no_grad;
    const Tensor inputs = RecurrentFeatures(steps);
    double hits = 0, gates = 0;
    for (int64_t l = 0; l < kLifetimes; ++l) {
      struct Row {
        Tensor context, cell;
      };
      std::vector<Row> rows;
      std::vector<Tensor> state = policy.InitialState(1, torch::kFloat32);
      Tensor m = torch::zeros({1, 1, 9}), context;
      double found = 0, episodes = 0;
      for (int64_t t = 0; t < kSteps; ++t) {
        const bool begins = t == 0 || steps.prev_done[l][t].item<float>() != 0;
        if (begins) {
          if (t > 0) rows.push_back({context, state[1].clone()});
          if (rows.size() > 3) rows.erase(rows.begin());
          context = steps.observations[l][t].narrow(0, 0, 2).to(torch::kFloat64);
          m = torch::zeros({1, 1, 9});
          double nearest = 0.3;
          for (const Row& row : rows) {
            const double distance = (row.context - context).square().sum().item<double>();
            if (distance > nearest) continue;
            nearest = distance;
            m = row.cell.view({1, 1, 9});
          }
          ++episodes;
          found += m.ne(0).any().item<bool>();
        }
        const auto now =
            policy.Forward(weights, torch::cat({inputs[l][t].view({1, 1, -1}), m}, -1), state);
        state = now.final_state;
        INFO("lifetime " << l << ", step " << t);
        testing::CheckNear("m", lives->features[l][t].narrow(0, policy.inputs(), 9), m[0][0],
                           {.rel = 1e-4, .abs = 1e-5});
        testing::CheckNear("value", lives->values[l][t], now.values[0][0],
                           {.rel = 1e-4, .abs = 1e-5});
        gates += now.reinstate_gate.mean().item<double>() / (kSteps * kLifetimes);
      }
      hits += found / episodes / kLifetimes;
    }
    CHECK(hits > 0.2);
    CHECK(hits < 0.9);
    CHECK(lives->memory_hits == Approx(hits));
    CHECK(lives->reinstate_gate == Approx(gates));
    // One lifetime alone.
    agents::Segment first;
    for (auto member : {&agents::Segment::observations, &agents::Segment::actions,
                        &agents::Segment::success_signals, &agents::Segment::prev_done}) {
      first.*member = (steps.*member).narrow(0, 0, 1);
    }
    const auto alone = LiveAgain(policy, weights, first, nullptr);
    REQUIRE(alone.ok());
    testing::CheckNear("m", alone->features, lives->features.narrow(0, 0, 1),
                       {.rel = 1e-4, .abs = 1e-5});
  }
}

TEST_CASE("rl2: a memory without a use is refused with its remedy", "[unit]") {
  v1::ExperimentSpec spec =
      Spec({{"memory", "episodic"}, {"context_size", "4"}, {"k", "2"}, {"epochs", "1"}});
  spec.mutable_lifetime()->set_steps_per_iteration(9);  // An episode has 10.
  const std::string refusal = Refusal(spec);
  CHECK_THAT(refusal, Contains("lifetime.steps_per_iteration: is 9") &&
                          Contains("episodes, which have 10 steps") && Contains("raise it"));
  CHECK_THAT(refusal, Contains("rule.option.context_size: is 4; an observation has 3 numbers"));
  spec = Spec({{"memory", "episodic"}, {"capacity", "1000000"}, {"lstm_units", "4096"}});
  spec.mutable_lifetime()->set_steps_per_iteration(1'000'000);
  CHECK_THAT(Refusal(spec), Contains("rule.option.capacity: is 1000000") && Contains("lower it"));
  CHECK_THAT(Refusal(Spec({{"memory", "both"}})), Contains("rule.option.memory: is 'both'"));
}

TEST_CASE("rl2: the bound of a lifetime's memory counts what is remembered", "[unit]") {
  const auto per_thread = [](std::map<std::string, std::string> options) {
    v1::Shard shard;
    *shard.mutable_spec() = Spec(options);
    *shard.mutable_shape() = Shape(false);
    *shard.mutable_inner_loop() = InnerLoopOf(shard.spec().rule());
    shard.add_lifetimes();
    const auto sizes = SizesOfLoop(shard, 1);
    REQUIRE(sizes.has_value());
    return sizes->per_thread;
  };
  // Three rows of a context, a cell and their links, and the contexts of all steps.
  CHECK(per_thread(kEpisodic) - per_thread({}) >= 3 * (2 + 9) + 2 * kSteps);
}

TEST_CASE("rl2: a new policy with a memory lets in what it was told to", "[unit]") {
  const auto open = MakeRule(Spec({{"memory", "episodic"}, {"reinstate_bias", "-2"}}));
  const auto none = MakeRule(Spec());
  const RecurrentPolicy policy = Policy(false, kMemory);
  REQUIRE(open->meta_parameters().numel() == policy.Layout().size());
  CHECK(none->meta_parameters().numel() == Policy(false).Layout().size());
  const Tensor bias = policy.Layout().Part("lstm.b_ih", open->meta_parameters());
  CHECK(bias.narrow(0, 0, 36).eq(0).all().item<bool>());
  CHECK(bias.narrow(0, 36, 9).eq(-2).all().item<bool>());
}

// On labels that are a function of what is seen, whatever was done.
TEST_CASE("rl2: regression brings the mean near the labels and leaves the values alone", "[unit]") {
  const std::map<std::string, std::string> squared = {{"loss", "squared"}, {"epochs", "8"}};
  const auto rule = MakeRule(Spec(squared)), other = MakeRule(Spec(squared), false, 1);
  LifetimeBatch batch = Collect(rule->meta_parameters(), false);
  batch.steps.labels = 0.5 * batch.steps.observations.narrow(2, 0, 2) + 1;
  const RecurrentPolicy policy = Policy(false);
  const auto mean_at = [&](const Tensor& weights) {
    const torch::NoGradGuard no_grad;
    return policy
        .Forward(weights, RecurrentFeatures(batch.steps),
                 policy.InitialState(kLifetimes, torch::kFloat32))
        .mean;
  };
  const auto error_at = [&](const Tensor& weights) {
    return (mean_at(weights) - batch.steps.labels).square().sum(-1).mean().item<double>();
  };
  const Tensor before = rule->meta_parameters().clone();
  auto report = rule->Update(batch, 0);
  INFO(std::string(report.status().message()));
  REQUIRE(report.ok());
  CHECK(report->at("kl") == 0);
  CHECK(report->at("epochs") == 8);
  for (uint32_t step = 1; step < 6; ++step) report = rule->Update(batch, step);
  const double error = error_at(rule->meta_parameters());
  CHECK(error < 0.5 * error_at(before));
  CHECK(report->at("loss") == Approx(error).epsilon(0.3));  // While it still fell.
  const agents::ParamLayout layout = policy.Layout();
  for (const char* untouched : {"critic.W1", "critic.b2", "logstd.W1", "logstd.b2"}) {
    INFO(untouched);
    CHECK(layout.Part(untouched, rule->meta_parameters()).equal(layout.Part(untouched, before)));
  }
  for (uint32_t step = 0; step < 6; ++step) REQUIRE(other->Update(batch, step).ok());
  CHECK(Same(rule->Save(), other->Save()));

  batch.steps.labels[2][3][1] = std::numeric_limits<float>::infinity();
  CHECK(rule->Update(batch, 6).status().message() ==
        "labels of lifetime 2 is not finite at step 3");
  batch.steps.labels = Tensor();
  CHECK(rule->Update(batch, 6).status().message() == "lifetimes have no labels");
  Violations violations;
  CHECK(MakeOuterRule({.spec = Spec(squared), .shape = Shape(true), .network = nullptr},
                      &violations) == nullptr);
  CHECK_THAT(std::string(violations.ToStatus().message()),
             Contains("rule.option.loss: is squared, but actions are choices"));
}

// The gradient of the mean squared error by differences, through EvaluatePiece.
TEST_CASE("rl2: regression descends the squared error", "[unit]") {
  const RecurrentPolicy policy = Policy(false);
  const Tensor weights = (Normals(5, {policy.Layout().size()}, 0) * 0.4).to(torch::kFloat64);
  const Tensor features = Normals(6, {3, 8, policy.features()}, 0).to(torch::kFloat64);
  const Tensor labels = Normals(7, {3, 8, 2}, 0).to(torch::kFloat64);
  const Tensor none = torch::zeros({3, 8}, torch::kFloat64);
  const OuterPpoBatch batch{.features = features,
                            .cut_features = {},
                            .outputs = labels,
                            .log_probs = none,
                            .advantages = none,
                            .returns = none};
  const auto state = policy.InitialState(3, torch::kFloat64);
  const auto loss_at = [&](const Tensor& at) {
    const torch::NoGradGuard no_grad;
    return (policy.Forward(at, features, state).mean - labels).square().sum(-1).mean();
  };
  const auto got = EvaluatePiece(RegressedPolicy(policy), {.regression = true, .k = 8}, batch,
                                 {0, 8}, weights, state, nullptr);
  REQUIRE(got.ok());
  CHECK(got->report.loss == Approx(loss_at(weights).item<double>()));
  CHECK(got->report.rho_error == 0);
  Tensor differences = torch::empty_like(weights);
  for (int64_t i = 0; i < weights.numel(); ++i) {
    Tensor plus = weights.clone(), minus = weights.clone();
    plus[i] += 1e-6;
    minus[i] -= 1e-6;
    differences[i] = (loss_at(plus) - loss_at(minus)) / 2e-6;
  }
  testing::CheckNear("gradient", got->gradient, differences, {.rel = 1e-5, .abs = 1e-7});
  CHECK(got->gradient.abs().max().item<double>() > 1e-2);
}

TEST_CASE("rl2: state goes through a checkpoint", "[unit]") {
  const v1::ExperimentSpec spec = Spec();
  const auto whole = MakeRule(spec), first = MakeRule(spec), second = MakeRule(spec);
  for (uint32_t step = 0; step < 3; ++step) {
    REQUIRE(whole->Update(Collect(whole->meta_parameters(), false, step), step).ok());
  }
  REQUIRE(first->Update(Collect(first->meta_parameters(), false, 0), 0).ok());
  REQUIRE(second->Load(first->Save()).ok());
  for (uint32_t step = 1; step < 3; ++step) {
    REQUIRE(second->Update(Collect(second->meta_parameters(), false, step), step).ok());
  }
  CHECK(Same(whole->Save(), second->Save()));
}

TEST_CASE("rl2: lifetimes that another policy lived are refused, and change nothing", "[unit]") {
  const auto rule = MakeRule(Spec());
  const TensorMap before = rule->Save();
  LifetimeBatch batch = Collect(rule->meta_parameters(), false);
  batch.steps.actions = batch.steps.actions.roll(1, 1);  // Actions of step t - 1.
  CHECK_THAT(std::string(rule->Update(batch, 0).status().message()),
             Contains("the network that is trained is not the one that acted"));
  batch = Collect(rule->meta_parameters(), false);
  batch.steps.log_probs[2][3] = std::numeric_limits<float>::quiet_NaN();
  CHECK(rule->Update(batch, 0).status().message() ==
        "log_probs of lifetime 2 is not finite at step 3");
  batch = Collect(rule->meta_parameters(), false);
  batch.steps.signal_values = Tensor();
  CHECK(rule->Update(batch, 0).status().message() == "lifetimes have no signal_values");
  CHECK(Same(rule->Save(), before));
}

TEST_CASE("rl2: combinations without sense are refused with their remedy", "[unit]") {
  v1::ExperimentSpec spec = Spec();
  spec.mutable_lifetime()->set_iterations(3);
  CHECK_THAT(Refusal(spec), Contains("lifetime.iterations: is 3") && Contains("set it to 1"));
  spec = Spec();
  spec.mutable_evaluation()->set_deterministic_episodes(4);
  CHECK_THAT(Refusal(spec),
             Contains("evaluation.deterministic_episodes: is 4") && Contains("set it to 0"));
  spec = Spec();
  spec.mutable_evaluation()->add_baseline(v1::PPO_SPARSE);
  CHECK_THAT(Refusal(spec), Contains("evaluation.baseline: has PPO"));
  CHECK_THAT(Refusal(Spec({{"k", "16"}})), Contains("rule.option.k: is 16") &&
                                               Contains("30 trained steps") &&
                                               Contains("k is at most 15"));
  CHECK_THAT(Refusal(Spec({{"epochs", "9"}})), Contains("rule.option.epochs"));
}

TEST_CASE("rl2: a new policy has the asked std, and small actions", "[unit]") {
  const auto rule = MakeRule(Spec());
  const RecurrentPolicy policy = Policy(false);
  const torch::NoGradGuard no_grad;
  const auto outputs =
      policy.Forward(rule->meta_parameters(), Normals(0, {2, 5, policy.features()}, 0),
                     policy.InitialState(2, torch::kFloat32));
  CHECK(outputs.mean.abs().max().item<double>() < 0.05);
  CHECK((outputs.log_std.exp() - 0.5).abs().max().item<double>() < 0.05);
}

}  // namespace mentor::methods::TEST_FILE
