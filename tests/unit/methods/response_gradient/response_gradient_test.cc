// The response-gradient rule and its inner loop, fed with random collections.
#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agents/gae.h"
#include "agents/row_statistics.h"
#include "agents/worker_pool.h"
#include "common/spec/spec.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/base/outer_rule.h"
#include "methods/response_gradient/conditioned_policy.h"
#include "methods/response_gradient/response_terms.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/policy_step.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using agents::Segment;
using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::RandomNormals;
using mentor::testing::RandomSegment;
using torch::Tensor;
using Settings = std::map<std::string, std::string>;

constexpr int64_t kSteps = 40;  // Episodes of 10 steps.

v1::ExperimentSpec Spec(const Settings& options, uint32_t lifetimes = 2) {
  v1::ExperimentSpec spec = testing::SpecOfRule(
      "response_gradient", {.lifetimes = lifetimes, .iterations = 6, .steps = kSteps}, options);
  spec.mutable_agent()->set_hidden_units(6);
  spec.mutable_agent()->set_epochs(2);
  spec.mutable_agent()->set_minibatches(2);
  spec.mutable_agent()->set_output_gain(0.5);
  spec.mutable_signal()->set_name("bottleneck");
  testing::SetOption(spec.mutable_signal(), "hidden", "8");
  spec.mutable_rule()->set_shard_lifetimes(2);
  return WithDefaults(spec);
}

v1::Shard ShardOf(const v1::ExperimentSpec& spec, bool learning = true) {
  v1::Shard shard;
  *shard.mutable_spec() = spec;
  for (uint32_t s = 0; s < spec.rule().shard_lifetimes(); ++s) shard.add_lifetimes()->set_number(s);
  *shard.mutable_shape() = testing::Shape(
      {.observation = kObservationSize, .action = kActionSize, .independent_episodes = true});
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(learning);
  *shard.mutable_inner_loop() = InnerLoopOf(spec.rule());
  shard.set_collections(2);
  shard.set_iterations(spec.lifetime().iterations());
  return shard;
}

struct Life {
  explicit Life(const Settings& options, bool learning = true, bool bootstraps = false,
                const std::function<void(v1::AgentSpec*)>& edit = nullptr)
      : spec(Spec(options)) {
    if (bootstraps) spec.mutable_agent()->set_bootstrap_on_truncation(true);
    if (edit) edit(spec.mutable_agent());
    shard = ShardOf(spec, learning);
    Violations violations;
    const auto rule_parts = MakeRule(&violations);
    INFO(std::string(violations.ToStatus().message()));
    REQUIRE(rule_parts != nullptr);
    phi = rule_parts->meta_parameters().clone();
    loop = Loop();
    loop->Begin();
  }

  std::unique_ptr<OuterRule> MakeRule(Violations* violations) const {
    std::shared_ptr<const signals::SignalNetwork> network = signals::MakeSignalNetwork(
        spec.signal(), {.observation_size = kObservationSize, .action_size = kActionSize},
        violations);
    REQUIRE(network != nullptr);
    return MakeOuterRule({.spec = spec, .shape = shard.shape(), .network = network}, violations);
  }

  std::unique_ptr<InnerLoop> Loop() const {
    Violations violations;
    auto made = MakeInnerLoop(shard, phi, nullptr, {}, &violations);
    INFO(std::string(violations.ToStatus().message()));
    REQUIRE(made != nullptr);
    return made;
  }

  static Segment Collected(uint64_t seed) {
    Segment random = RandomSegment(2, kSteps, seed);
    random.last_done = torch::ones({2});
    random.next_observations = RandomNormals({2, kObservationSize}, seed + 5);
    return random;
  }

  Segment Iterate(InnerLoop* at, uint32_t iteration, LoopReport* report) {
    uint64_t seed = 1000 + 100 * iteration;
    auto segment = at->Iterate(
        iteration,
        [&](std::vector<v1::PolicyWeights> policies) -> absl::StatusOr<Segment> {
          collected.push_back(policies.size());
          Segment random = Collected(seed += 10);
          policies_before.push_back(std::move(policies));
          if (spec.agent().bootstrap_on_truncation()) {
            // Every episode ends at the limit.
            random.truncated = torch::zeros({2, kSteps});
            for (int64_t t = 9; t < kSteps; t += 10) random.truncated.select(1, t).fill_(1);
            random.final_observations = RandomNormals({2, kSteps / 10 + 1, kObservationSize}, seed);
          }
          return random;
        },
        report);
    REQUIRE(segment.ok());
    return *segment;
  }

  int64_t eta_size() const { return 8 * 4 + 2 * 4 + 1; }

  v1::ExperimentSpec spec;
  v1::Shard shard;
  Tensor phi;
  std::unique_ptr<InnerLoop> loop;
  std::vector<size_t> collected;  // Policies of each collection.
  std::vector<std::vector<v1::PolicyWeights>> policies_before;
};

std::string Bytes(const std::vector<v1::PolicyWeights>& policies) {
  std::string bytes;
  for (const v1::PolicyWeights& policy : policies) bytes += policy.weights();
  return bytes;
}
std::string Bytes(const InnerLoop& loop) {
  return Bytes(loop.Policies());
}

TEST_CASE("response gradient: both rounds end where their owner interrupts them", "[unit]") {
  for (const int last : {1, 2}) {
    Life life(Settings{});
    std::atomic<bool> interrupt = false;
    const agents::CallerScope caller(&interrupt);
    int collections = 0;
    LoopReport report;
    const auto segment = life.loop->Iterate(
        0,
        [&](const auto&) -> absl::StatusOr<Segment> {
          interrupt = ++collections == last;
          return Life::Collected(1);
        },
        &report);
    CHECK(segment.status().code() == absl::StatusCode::kCancelled);
    CHECK(collections == last);
  }
}

TEST_CASE("response gradient: a limit that is no end changes both rounds", "[unit]") {
  for (const bool learning : {true, false}) {
    Life ends(Settings{}, learning), limits(Settings{}, learning, /*bootstraps=*/true);
    LoopReport of_ends, of_limits;
    ends.Iterate(ends.loop.get(), 0, &of_ends);
    limits.Iterate(limits.loop.get(), 0, &of_limits);
    CHECK(Bytes(*ends.loop) != Bytes(*limits.loop));
    CHECK(of_limits.nonfinite_updates == 0);
    if (learning)
      CHECK_FALSE(torch::allclose(of_ends.outer_gradient, of_limits.outer_gradient, 1e-3, 1e-9));
  }
}

TEST_CASE("response gradient: two collections, a displacement of eta, policies that follow",
          "[unit]") {
  Life life(Settings{});
  const std::string before = Bytes(*life.loop);
  LoopReport report;
  const Segment segment = life.Iterate(life.loop.get(), 0, &report);
  CHECK(life.collected == std::vector<size_t>{2, 2});
  CHECK(segment.signals.sizes() == at::IntArrayRef{2, 2 * kSteps});
  CHECK(segment.signals.scalar_type() == torch::kFloat32);
  CHECK(Bytes(*life.loop) != before);
  REQUIRE(report.outer_gradient.defined());
  CHECK(report.outer_gradient.scalar_type() == torch::kFloat64);
  // Equation 17 moves eta alone.
  const int64_t body = report.outer_gradient.numel() - life.eta_size();
  CHECK(report.outer_gradient.narrow(0, 0, body).abs().max().item<double>() == 0);
  CHECK(report.outer_gradient.narrow(0, body, life.eta_size()).abs().max().item<double>() > 1e-4);
  for (const auto& [name, value] : report.statistics) {
    INFO(name);
    CHECK(std::isfinite(value));
  }
  CHECK(report.statistics.at("active_fraction") > 0);
}

TEST_CASE("response gradient: the term through the reward moves the whole network", "[unit]") {
  Life life({{"w11", "0"}, {"w13", "1"}, {"outer_steps", "one"}});
  LoopReport report;
  life.Iterate(life.loop.get(), 0, &report);
  REQUIRE(report.outer_gradient.defined());
  CHECK(report.outer_gradient.narrow(0, 0, 40).abs().max().item<double>() > 1e-9);
  CHECK(report.statistics.at("term13_norm") ==
        Approx(report.outer_gradient.norm().item<double>()).epsilon(1e-5));
}

TEST_CASE("response gradient: weights of the terms are weights", "[unit]") {
  const auto gradient = [](const std::string& w11, const std::string& w12, const std::string& w13) {
    Life life({{"w11", w11}, {"w12", w12}, {"w13", w13}, {"outer_steps", "one"}});
    LoopReport report;
    life.Iterate(life.loop.get(), 0, &report);
    return report.outer_gradient;
  };
  const Tensor sum =
      2 * gradient("1", "0", "0") + 3 * gradient("0", "1", "0") + 0.5 * gradient("0", "0", "1");
  const Tensor at_once = gradient("2", "3", "0.5");
  CHECK((sum - at_once).norm().item<double>() < 1e-4 * at_once.norm().item<double>());
}

TEST_CASE("response gradient: perturbed parts have policies of their own, in mirrored pairs",
          "[unit]") {
  Life life({{"perturbation", "0.1"}, {"perturbed_parts", "4"}, {"w12", "1"}, {"w13", "1"}});
  LoopReport report;
  life.Iterate(life.loop.get(), 0, &report);
  CHECK(life.collected == std::vector<size_t>{8, 2});
  CHECK(report.outer_gradient.isfinite().all().item<bool>());

  // Gain and offset are linear in eta, so the mean over a pair is that of eta itself.
  Life other({{"perturbation", "0.1"}, {"perturbed_parts", "4"}});
  const auto read = [](const v1::PolicyWeights& policy) {
    return torch::from_blob(const_cast<char*>(policy.weights().data()),
                            {static_cast<int64_t>(policy.weights().size() / 4)}, torch::kFloat32)
        .clone();
  };
  std::vector<Tensor> plain, perturbed;
  for (const auto& policy : other.loop->Policies()) plain.push_back(read(policy));
  const auto segment = other.loop->Iterate(
      0,
      [&](std::vector<v1::PolicyWeights> policies) -> absl::StatusOr<Segment> {
        for (const auto& policy : policies) perturbed.push_back(read(policy));
        return absl::UnavailableError("enough");
      },
      &report);
  REQUIRE_FALSE(segment.ok());
  REQUIRE(perturbed.size() == 8);
  CHECK_FALSE(torch::equal(perturbed[4], perturbed[5]));
  CHECK_FALSE(torch::equal(perturbed[4], perturbed[6]));
  CHECK((0.5 * (perturbed[4] + perturbed[5]) - plain[1]).abs().max().item<double>() < 1e-5);
  CHECK((perturbed[4] - plain[1]).abs().max().item<double>() > 1e-3);
}

TEST_CASE("response gradient: a snapshot goes on with the same bits", "[unit]") {
  for (const Settings& options :
       {Settings{}, Settings{{"perturbation", "0.1"}, {"perturbed_parts", "2"}, {"w13", "0.5"}}}) {
    Life whole(options);
    LoopReport first, second, resumed;
    whole.Iterate(whole.loop.get(), 0, &first);
    const TensorMap state = whole.loop->Save();
    // The meta-learner's word: what the first displacement made of phi.
    whole.phi = (whole.phi.to(torch::kFloat64) + first.outer_gradient).to(torch::kFloat32);
    const Segment a = whole.Iterate(whole.loop.get(), 1, &second);
    const auto loop = whole.Loop();
    REQUIRE(loop->Load(state).ok());
    const Segment b = whole.Iterate(loop.get(), 1, &resumed);
    CHECK(torch::equal(a.signals, b.signals));
    CHECK(torch::equal(second.outer_gradient, resumed.outer_gradient));
    CHECK(Bytes(*whole.loop) == Bytes(*loop));
    CHECK(second.statistics == resumed.statistics);
    CHECK_FALSE(whole.Loop()->Load({}).ok());
  }
}

TEST_CASE("response gradient: warm-up and frozen meta-parameters", "[unit]") {
  Life warm(Settings{{"warmup", "1"}});
  LoopReport report;
  warm.Iterate(warm.loop.get(), 0, &report);
  CHECK_FALSE(report.outer_gradient.defined());
  warm.Iterate(warm.loop.get(), 1, &report);
  CHECK(report.outer_gradient.defined());

  // Both collections teach the agents, and nothing perturbs them; the last one only measures.
  Life frozen({{"perturbation", "0.1"}, {"perturbed_parts", "4"}}, /*learning=*/false);
  LoopReport none;
  frozen.Iterate(frozen.loop.get(), 0, &none);
  CHECK(frozen.collected == std::vector<size_t>{2, 2});
  CHECK_FALSE(none.outer_gradient.defined());
  CHECK(Bytes(frozen.policies_before[1]) != Bytes(*frozen.loop));
  frozen.Iterate(frozen.loop.get(), 5, &none);
  CHECK(Bytes(frozen.policies_before[3]) == Bytes(*frozen.loop));
}

// In double, the function whose derivatives are the loop's terms. It is the task objective of the
// validation round, at the policy after the policy round, moved by the change of that round,
// which is one plain step here. The parts of phi that the direct term, the step's condition and the
// step's reward see are separate arguments.
class OuterObjective {
 public:
  // Before the loop's first iteration, and with the policy after it.
  OuterObjective(const Life& life, const TensorMap& before, const Tensor& theta)
      : spec_(life.spec),
        layout_(ConditionedLayout(ShapeOfAgents(life.shard), life.eta_size())),
        value_layout_(ValueLayout(ShapeOfAgents(life.shard))),
        before_(before),
        theta_(theta.to(torch::kFloat64)),
        theta_k_(before.at("policy.theta").to(torch::kFloat64)),
        eta_size_(life.eta_size()),
        first_(Life::Collected(1010)),
        second_(Life::Collected(1020)) {
    Violations violations;
    network_ = signals::MakeSignalNetwork(
        spec_.signal(), {.observation_size = kObservationSize, .action_size = kActionSize},
        &violations);
    REQUIRE(network_ != nullptr);
    const Tensor phi = life.phi.to(torch::kFloat64);
    denominator_ = Density(second_)(theta_k_, EtaOf(phi));
    advantages_ = AdvantagesOf(second_, second_.shaped_rewards, "task_value.theta");
    if (spec_.agent().normalize_advantage()) advantages_ = agents::Standardised(advantages_);
    moved_ = Moved(EtaOf(phi), phi);
  }

  double At(const Tensor& direct, const Tensor& condition, const Tensor& reward) const {
    const Tensor theta = theta_ + Moved(EtaOf(condition), reward) - moved_;
    return ClippedSurrogate(Density(second_)(theta, EtaOf(direct)), denominator_, advantages_,
                            {.range = spec_.agent().clip()})
        .objective.sum()
        .item<double>();
  }

 private:
  Tensor EtaOf(const Tensor& phi) const {
    return phi.narrow(0, phi.numel() - eta_size_, eta_size_);
  }
  LogProbs Density(const Segment& segment) const {
    return [this, segment](const Tensor& theta, const Tensor& eta) {
      const auto policy = SplitConditioned(layout_, theta);
      const auto modulation = Fold(policy, eta.expand({2, 1, eta_size_}));
      return agents::LogProb(Forward(policy, modulation, segment.observations.to(torch::kFloat64)),
                             policy.log_std, segment.actions.to(torch::kFloat64));
    };
  }
  Tensor AdvantagesOf(const Segment& segment, const Tensor& rewards, const char* critic) const {
    const auto value = SplitValue(value_layout_, before_.at(critic).to(torch::kFloat64));
    const auto values = [&](const Tensor& observations) {
      return agents::Forward(value, observations.to(torch::kFloat64)).squeeze(-1);
    };
    return agents::Gae(rewards, values(segment.observations), segment.prev_done, segment.last_done,
                       values(segment.next_observations.unsqueeze(1)).squeeze(1),
                       spec_.agent().gamma(), spec_.agent().gae_lambda())
        .advantages;
  }
  Tensor Moved(const Tensor& eta, const Tensor& phi) const {
    signals::SignalState state = network_->signals()->InitialState(2, torch::kFloat64);
    const Tensor signals = network_->gradient()->Signals(phi, first_, &state);
    const Tensor rewards = 0.25 * first_.shaped_rewards + 0.5 * signals;
    return agents::AfterPolicyStep(
        Density(first_), theta_k_, eta,
        {.log_probs = first_.log_probs.to(torch::kFloat64),
         .advantages = AdvantagesOf(first_, rewards, "inner_value.theta"),
         .standardise = spec_.agent().normalize_advantage(),
         .length = 0.7,
         .clip = spec_.agent().clip()});
  }

  const v1::ExperimentSpec spec_;
  const agents::ParamLayout layout_, value_layout_;
  const TensorMap before_;
  const Tensor theta_, theta_k_;
  const int64_t eta_size_;
  const Segment first_, second_;
  std::unique_ptr<signals::SignalNetwork> network_;
  Tensor denominator_, advantages_, moved_;
};

TEST_CASE("response gradient: each term of the loop is a slope of its objective", "[unit]") {
  for (int term = 0; term < 3; ++term) {
    INFO("term 1" << term + 1);
    // One plain step is a policy round whose function can be written down again.
    Life life({{"w11", term == 0 ? "1" : "0"},
               {"w12", term == 1 ? "1" : "0"},
               {"w13", term == 2 ? "1" : "0"},
               {"c_in", "0.5"},
               {"c_ex", "0.25"},
               {"outer_steps", "one"}},
              /*learning=*/true, /*bootstraps=*/false, [](v1::AgentSpec* agent) {
                agent->set_optimizer(v1::SGD);
                agent->set_learning_rate(0.7);
                agent->set_epochs(1);
                agent->set_minibatches(1);
                agent->set_max_grad_norm(1e9);
              });
    REQUIRE(life.spec.agent().gae_lambda() < 1);
    const TensorMap before = life.loop->Save();
    LoopReport report;
    life.Iterate(life.loop.get(), 0, &report);
    const OuterObjective objective(life, before, life.loop->Save().at("policy.theta"));
    const Tensor gradient = -report.outer_gradient;  // The loss's, which must fall.
    const double slope = gradient.norm().item<double>();
    const Tensor phi = life.phi.to(torch::kFloat64), direction = gradient / slope;
    const double h = 1e-5;
    const auto at = [&](double length) {
      const Tensor moved = phi + length * direction;
      return objective.At(term == 0 ? moved : phi, term == 1 ? moved : phi,
                          term == 2 ? moved : phi);
    };
    const double difference = (at(h) - at(-h)) / (2 * h);
    INFO("slope " << slope << ", difference " << difference);
    CHECK(slope > 1e-6);
    CHECK(std::abs(difference - slope) < 2e-3 * slope);
  }
}

LifetimeBatch Batch(std::vector<ShardGradient> shards) {
  LifetimeBatch batch;
  batch.shards = std::move(shards);
  return batch;
}

TEST_CASE("response gradient: the rule goes where the learner went, or takes one step of Adam",
          "[unit]") {
  Violations violations;
  const Life local(Settings{});
  const auto rule = local.MakeRule(&violations);
  const Tensor before = rule->meta_parameters().clone();
  const Tensor displacement = 0.01 * RandomNormals(before.sizes(), 7, torch::kFloat64);
  REQUIRE(rule->Update(Batch({{2, displacement}}), 0).ok());
  CHECK(torch::equal(rule->meta_parameters(),
                     (before.to(torch::kFloat64) + displacement).to(torch::kFloat32)));
  REQUIRE(rule->Update(Batch({{2, {}}}), 1).ok());  // Warm-up.
  CHECK_FALSE(rule->Update(Batch({{1, displacement}, {1, displacement}}), 1).ok());
  CHECK_FALSE(rule->Update(Batch({{2, displacement.narrow(0, 0, 3)}}), 1).ok());
  CHECK_FALSE(rule->Update(Batch({{2, displacement / 0}}), 1).ok());

  Life shared({{"outer_steps", "one"}, {"learning_rate", "0.5"}, {"max_grad_norm", "1e9"}});
  shared.spec.mutable_rule()->set_lifetimes_per_update(3);
  const auto one = shared.MakeRule(&violations);
  const Tensor gradient = RandomNormals(before.sizes(), 8, torch::kFloat64);
  REQUIRE(one->Update(Batch({{2, gradient}, {1, gradient}}), 0).ok());
  // Adam's first step is a sign.
  const Tensor moved = one->meta_parameters() - before;
  CHECK((moved + 0.5 * gradient.sign()).abs().median().item<double>() < 1e-3);
}

std::string Refusal(const Settings& options, const std::function<void(v1::ExperimentSpec*)>& edit,
                    uint32_t lifetimes = 2) {
  v1::ExperimentSpec spec = Spec(options, lifetimes);
  edit(&spec);
  v1::Shard shard = ShardOf(spec);
  Violations violations;
  MakeInnerLoop(shard, {}, nullptr, {}, &violations);
  return std::string(violations.ToStatus().message());
}

TEST_CASE("response gradient: settings that make no sense are refused by name", "[unit]") {
  const auto keep = [](v1::ExperimentSpec*) {};
  CHECK(Refusal({}, keep).empty());
  const auto refused = [&](const std::string& field, const std::string& text) {
    INFO(field << ": " << text);
    CHECK(text.find(field) != std::string::npos);
  };
  refused("signal.name", Refusal({}, [](v1::ExperimentSpec* spec) {
            spec->mutable_signal()->set_name("lstm");
            spec->mutable_signal()->clear_option();
          }));
  refused("signal.role",
          Refusal({}, [](auto* spec) { spec->mutable_signal()->set_role(v1::ADVANTAGE); }));
  refused("agent.hidden_units",
          Refusal({}, [](auto* spec) { spec->mutable_agent()->set_hidden_units(1); }));
  refused("agent.target_kl",
          Refusal({}, [](auto* spec) { spec->mutable_agent()->set_target_kl(0.1); }));
  refused("agent.clip_value_loss",
          Refusal({}, [](auto* spec) { spec->mutable_agent()->set_clip_value_loss(true); }));
  refused("rule.option.w11", Refusal({{"w11", "0"}}, keep));
  refused("rule.option.validation_minibatches", Refusal({{"validation_minibatches", "21"}}, keep));
  refused("rule.option.outer_steps", Refusal({}, keep, /*lifetimes=*/4));
  refused("rule.option.perturbation",
          Refusal({{"perturbation", "0.1"}, {"perturbed_parts", "8"}}, keep));
  refused("rule.option.perturbed_parts",
          Refusal({{"perturbation", "0.1"}, {"perturbed_parts", "1"}}, keep));
  refused("denominator", Refusal({{"denominator", "round_j"}}, keep));
}

}  // namespace mentor::methods::TEST_FILE
