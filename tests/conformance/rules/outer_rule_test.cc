// What every registered outer rule promises, with its default settings on a lifetime of the default
// length.
#include "meta_learner/rules/outer_rule.h"

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "learner/inner_loops/inner_loop.h"
#include "tests/conformance/recorded_lifetimes.h"

namespace mentor::meta_learner {
namespace {

using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::Previous;
using mentor::testing::RandomNormals;
using mentor::testing::RandomSegment;
using torch::Tensor;

constexpr int64_t kLifetimes = 4, kIterations = 3, kSteps = 2000;

// A signal network that can nothing but act.
class OpaqueNetwork : public learner::SignalNetwork {
 public:
  bool has_density() const override { return false; }
  const learner::ParamLayout& layout() const override { return layout_; }
  Tensor InitialWeights(uint64_t) const override { return torch::ones({2}); }
  learner::SignalState InitialState(int64_t n, torch::Dtype dtype) const override {
    return {{}, torch::zeros({n}, dtype)};
  }
  learner::SignalOutputs Run(const Tensor& weights, const learner::Segment& segment, const Tensor&,
                             learner::SignalState* state) const override {
    const Tensor signals = segment.observations.select(-1, 0) * weights[0] + weights[1];
    state->previous = signals.select(1, -1).clone();
    return {.signals = signals, .log_probs = {}, .values = {}};
  }

 private:
  const learner::ParamLayout layout_{{{"w", {2}}}};
};

const learner::RegisterSignal kOpaque({
    .name = "opaque",
    .summary = "for tests",
    .options = {},
    .make = [](const learner::SignalContext&, const OptionValues&)
        -> std::unique_ptr<learner::SignalNetwork> { return std::make_unique<OpaqueNetwork>(); },
});

// Of a rule with a signal network that suits it.
v1::ExperimentSpec Spec(const std::string& rule) {
  v1::ExperimentSpec spec;
  spec.set_seed(9);
  spec.mutable_benchmark()->set_name("none");
  spec.mutable_lifetime()->set_iterations(kIterations);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_rule()->set_name(rule);
  spec.mutable_rule()->set_lifetimes_per_update(kLifetimes);
  spec.mutable_rule()->set_outer_updates(3);
  if (rule == "rl2") {  // A lifetime is one iteration, and its evaluation deterministic.
    spec.mutable_lifetime()->set_iterations(1);
    spec.mutable_evaluation()->set_deterministic_episodes(0);
  }
  if (rule == "response_gradient") {
    spec.mutable_signal()->set_name("bottleneck");
    // From any number of shards.
    spec.mutable_rule()->add_option()->set_name("outer_steps");
    spec.mutable_rule()->mutable_option()->rbegin()->set_value("one");
    return spec;
  }
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"enc1", "12"}, {"enc2", "4"}, {"lstm", "4"}, {"heads", "4"}, {"critic", "4"}}) {
    v1::Option* option = spec.mutable_signal()->add_option();
    option->set_name(name);
    option->set_value(value);
  }
  return spec;
}

v1::EnvironmentShape Shape() {
  v1::EnvironmentShape shape;
  shape.set_observation_size(kObservationSize);
  shape.set_action_size(kActionSize);
  shape.set_episode_steps(10);
  return shape;
}

std::shared_ptr<const learner::SignalNetwork> Network(const v1::ExperimentSpec& spec,
                                                      Violations* violations) {
  return learner::MakeSignalNetwork(spec.signal(),
                                    {.observation_size = kObservationSize,
                                     .action_size = kActionSize,
                                     .role = spec.signal().role(),
                                     .input = spec.signal().input(),
                                     .episode_steps = 10},
                                    violations);
}

std::shared_ptr<const learner::SignalNetwork> Network(const v1::ExperimentSpec& spec) {
  Violations violations;
  auto network = Network(spec, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(network != nullptr);
  return network;
}

std::unique_ptr<OuterRule> Make(const RuleEntry& entry, int num_threads = 1) {
  const v1::ExperimentSpec spec = Spec(entry.name);
  Violations violations;
  auto rule = MakeOuterRule(
      {.spec = spec, .shape = Shape(), .network = Network(spec), .num_threads = num_threads},
      &violations);
  INFO(entry.name << ": " << std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  return rule;
}

// Rules that read lifetimes lived by policies of their own have tests of their own: random ones are
// no lives of theirs.
std::vector<const RuleEntry*> RulesForRandomLives() {
  std::vector<const RuleEntry*> rules;
  for (const RuleEntry* entry : OuterRules()) {
    const RuleNeeds needs = Make(*entry)->needs();
    if (needs.signal_network || !needs.segments) rules.push_back(entry);
  }
  REQUIRE(!rules.empty());
  return rules;
}

// Lifetimes whose signals the given weights gave, in two shards whose loops report random
// gradients.
LifetimeBatch Batch(const OuterRule& rule, uint64_t seed) {
  LifetimeBatch batch;
  batch.environments.assign(kLifetimes, "somewhere");
  batch.steps_per_iteration = kSteps;
  batch.steps = RandomSegment(kLifetimes, kIterations * kSteps, seed);
  const Tensor weights = rule.meta_parameters();
  for (uint64_t shard = 0; shard < 2; ++shard) {
    batch.shards.push_back(
        {.lifetimes = kLifetimes / 2,
         .gradient = RandomNormals(weights.sizes(), seed + 20 + shard, torch::kFloat64)});
  }
  if (!rule.needs().segments) return batch;
  const auto network = Network(Spec("none"));
  learner::SignalState state = network->InitialState(kLifetimes, torch::kFloat32);
  const learner::SignalOutputs outputs = network->Run(
      weights, batch.steps, RandomNormals({kLifetimes, kIterations * kSteps}, seed + 10), &state);
  batch.steps.signals = outputs.signals;
  batch.steps.signal_log_probs = outputs.log_probs;
  batch.steps.signal_values = outputs.values;
  return batch;
}

bool SameState(const TensorMap& a, const TensorMap& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto found = b.find(name);
    if (found == b.end() || tensor.dtype() != found->second.dtype() ||
        !torch::equal(tensor, found->second))
      return false;
  }
  return true;
}

TensorMap Copy(const TensorMap& state) {
  TensorMap copy;
  for (const auto& [name, tensor] : state) copy[name] = tensor.clone();
  return copy;
}

TEST_CASE("outer rules: an update changes the weights and gives finite numbers", "[conformance]") {
  REQUIRE(!OuterRules().empty());
  for (const RuleEntry* entry : RulesForRandomLives()) {
    INFO(entry->name);
    const auto rule = Make(*entry);
    const Tensor before = rule->meta_parameters().clone();
    CHECK(before.dtype() == torch::kFloat32);
    const auto report = rule->Update(Batch(*rule, 100), 0);
    INFO(report.status().ToString());
    REQUIRE(report.ok());
    for (const auto& [name, value] : *report) {
      INFO(name);
      CHECK(std::isfinite(value));
    }
    const Tensor after = rule->meta_parameters();
    REQUIRE(after.sizes() == before.sizes());
    CHECK(after.isfinite().all().item<bool>());
    CHECK_FALSE(after.requires_grad());
    CHECK_FALSE(torch::equal(after, before));
  }
}

TEST_CASE("outer rules: the same bits on one thread and on three", "[conformance]") {
  for (const RuleEntry* entry : RulesForRandomLives()) {
    INFO(entry->name);
    const auto one = Make(*entry, 1), three = Make(*entry, 3);
    REQUIRE(SameState(one->Save(), three->Save()));
    for (uint32_t step = 0; step < 2; ++step) {
      const LifetimeBatch batch = Batch(*one, 200 + 50 * step);
      REQUIRE(one->Update(batch, step).ok());
      REQUIRE(three->Update(batch, step).ok());
    }
    CHECK(SameState(one->Save(), three->Save()));
    CHECK(torch::equal(one->meta_parameters(), three->meta_parameters()));
  }
}

TEST_CASE("outer rules: a saved state goes on as if nothing had happened", "[conformance]") {
  for (const RuleEntry* entry : RulesForRandomLives()) {
    INFO(entry->name);
    const auto whole = Make(*entry), resumed = Make(*entry);
    REQUIRE(whole->Update(Batch(*whole, 300), 0).ok());
    REQUIRE(resumed->Load(Copy(whole->Save())).ok());
    CHECK(SameState(whole->Save(), resumed->Save()));
    const LifetimeBatch batch = Batch(*whole, 350);
    REQUIRE(whole->Update(batch, 1).ok());
    REQUIRE(resumed->Update(batch, 1).ok());
    CHECK(SameState(whole->Save(), resumed->Save()));
    CHECK(torch::equal(whole->meta_parameters(), resumed->meta_parameters()));
  }
}

TEST_CASE("outer rules: a state without weights of the right size is refused", "[conformance]") {
  for (const RuleEntry* entry : OuterRules()) {
    INFO(entry->name);
    const auto rule = Make(*entry);
    CHECK_FALSE(rule->Load({}).ok());
    const int64_t num_weights = rule->meta_parameters().numel();
    for (const auto& [name, tensor] : rule->Save()) {
      if (tensor.numel() != num_weights) continue;
      INFO(name);
      TensorMap state = Copy(rule->Save());
      state[name] = torch::zeros({num_weights + 1}, tensor.dtype());
      CHECK_FALSE(rule->Load(state).ok());
      state.erase(name);
      CHECK_FALSE(rule->Load(state).ok());
    }
  }
}

TEST_CASE("outer rules: numbers that are not finite are an error that leaves the state as it was",
          "[conformance]") {
  for (const RuleEntry* entry : RulesForRandomLives()) {
    INFO(entry->name);
    const auto rule = Make(*entry);
    REQUIRE(rule->Update(Batch(*rule, 400), 0).ok());
    const TensorMap before = Copy(rule->Save());
    LifetimeBatch batch = Batch(*rule, 450);
    batch.steps.shaped_rewards.fill_(std::numeric_limits<double>::quiet_NaN());
    batch.steps.success_signals.fill_(std::numeric_limits<float>::quiet_NaN());
    for (ShardGradient& shard : batch.shards)
      shard.gradient.fill_(std::numeric_limits<double>::quiet_NaN());
    CHECK_FALSE(rule->Update(batch, 1).ok());
    CHECK(SameState(rule->Save(), before));
  }
}

// Rule and inner loop of a spec; empty when both take it, otherwise why not.
std::string Refusal(const v1::ExperimentSpec& spec) {
  Violations violations;
  const auto network = Network(spec, &violations);
  if (network == nullptr) return std::string(violations.ToStatus().message());
  const auto rule =
      MakeOuterRule({.spec = spec, .shape = Shape(), .network = network}, &violations);
  CHECK((rule == nullptr) == !violations.empty());
  v1::Shard shard;
  *shard.mutable_spec() = spec;
  shard.add_lifetimes();
  *shard.mutable_shape() = Shape();
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(true);
  *shard.mutable_inner_loop() = InnerLoopOf(spec.rule());
  Violations of_loop;
  const auto loop = learner::MakeInnerLoop(shard, {}, nullptr, torch::kCPU, &of_loop);
  CHECK((loop == nullptr) == !of_loop.empty());
  for (const Violation& violation : of_loop.list())
    violations.Add(violation.field, violation.description);
  for (const Violation& violation : violations.list()) {
    INFO(violation.field << ": " << violation.description);
    CHECK(!violation.field.empty());
    CHECK(violation.description.size() > 20);  // A reason, not a word.
  }
  return std::string(violations.ToStatus().message());
}

TEST_CASE("outer rules: each network in each role is taken, or refused with a reason",
          "[conformance]") {
  std::map<std::string, int> taken;
  for (const RuleEntry* entry : OuterRules()) {
    for (const learner::SignalEntry* signal : learner::SignalNetworks()) {
      for (const v1::SignalRole role : {v1::REWARD, v1::ADVANTAGE}) {
        v1::ExperimentSpec spec = Spec(entry->name);
        spec.mutable_signal()->Clear();
        spec.mutable_signal()->set_name(signal->name);
        spec.mutable_signal()->set_role(role);
        INFO(entry->name << " with " << signal->name << ", " << v1::SignalRole_Name(role));
        taken[entry->name] += Refusal(spec).empty();
      }
    }
    INFO(entry->name);
    CHECK(taken[entry->name] > 0);
  }
}

TEST_CASE("outer rules: what a network does not declare, a rule that needs it refuses",
          "[conformance]") {
  const auto refusal = [](const std::string& rule, const std::string& network) {
    v1::ExperimentSpec spec = Spec(rule);
    spec.mutable_signal()->Clear();
    spec.mutable_signal()->set_name(network);
    return Refusal(spec);
  };
  // Neither density nor gradient: outcomes must be enough.
  for (const RuleEntry* entry : OuterRules()) {
    INFO(entry->name);
    if (!Make(*entry)->needs().signal_network) continue;
    CHECK(refusal(entry->name, "opaque").empty() == (entry->name == "evolution_strategies"));
  }
  using Catch::Matchers::Contains;
  CHECK_THAT(refusal("black_box", "opaque"), Contains("density"));
  CHECK_THAT(refusal("black_box", "attention"), Contains("density"));
  CHECK_THAT(refusal("black_box", "mlp"), Contains("density"));
}

TEST_CASE("outer rules: black_box takes an mlp with density", "[conformance]") {
  v1::ExperimentSpec spec = Spec("black_box");
  spec.mutable_signal()->Clear();
  spec.mutable_signal()->set_name("mlp");
  spec.mutable_signal()->add_option()->set_name("density");
  spec.mutable_signal()->mutable_option()->rbegin()->set_value("true");
  Violations violations;
  const auto network = Network(spec);
  const auto rule =
      MakeOuterRule({.spec = spec, .shape = Shape(), .network = network}, &violations);
  REQUIRE(rule != nullptr);
  LifetimeBatch batch;
  batch.environments.assign(kLifetimes, "somewhere");
  batch.steps_per_iteration = kSteps;
  batch.steps = RandomSegment(kLifetimes, kIterations * kSteps, 500);
  learner::SignalState state = network->InitialState(kLifetimes, torch::kFloat32);
  const Tensor before = rule->meta_parameters().clone();
  const learner::SignalOutputs outputs = network->Run(
      before, batch.steps, RandomNormals({kLifetimes, kIterations * kSteps}, 510), &state);
  batch.steps.signals = outputs.signals;
  batch.steps.signal_log_probs = outputs.log_probs;
  batch.steps.signal_values = outputs.values;
  const auto report = rule->Update(batch, 0);
  INFO(report.status().ToString());
  REQUIRE(report.ok());
  CHECK_FALSE(torch::equal(rule->meta_parameters(), before));
}

}  // namespace
}  // namespace mentor::meta_learner
