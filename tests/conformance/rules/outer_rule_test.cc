// What every registered outer rule promises, with its default settings on a lifetime of the default
// length.
#include "meta_learner/rules/outer_rule.h"

#include <cmath>
#include <limits>

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

v1::ExperimentSpec Spec(const std::string& rule) {
  v1::ExperimentSpec spec;
  spec.set_seed(9);
  spec.mutable_benchmark()->set_name("none");
  spec.mutable_lifetime()->set_iterations(kIterations);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_rule()->set_name(rule);
  spec.mutable_rule()->set_lifetimes_per_update(kLifetimes);
  spec.mutable_rule()->set_outer_updates(3);
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"enc1", "12"}, {"enc2", "4"}, {"lstm", "4"}, {"heads", "4"}, {"critic", "4"}}) {
    v1::Option* option = spec.mutable_signal()->add_option();
    option->set_name(name);
    option->set_value(value);
  }
  return spec;
}

std::shared_ptr<const learner::SignalNetwork> Network(const v1::ExperimentSpec& spec) {
  Violations violations;
  std::shared_ptr<const learner::SignalNetwork> network = learner::MakeSignalNetwork(
      spec.signal(), {.observation_size = kObservationSize, .action_size = kActionSize},
      &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(network != nullptr);
  return network;
}

std::unique_ptr<OuterRule> Make(const RuleEntry& entry, int num_threads = 1) {
  const v1::ExperimentSpec spec = Spec(entry.name);
  Violations violations;
  auto rule = MakeOuterRule({.spec = spec, .network = Network(spec), .num_threads = num_threads},
                            &violations);
  INFO(entry.name << ": " << std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  return rule;
}

// Lifetimes whose signals the given weights gave.
LifetimeBatch Batch(const OuterRule& rule, uint64_t seed) {
  LifetimeBatch batch;
  batch.environments.assign(kLifetimes, "somewhere");
  batch.steps_per_iteration = kSteps;
  batch.steps = RandomSegment(kLifetimes, kIterations * kSteps, seed);
  const auto network = Network(Spec("none"));
  learner::SignalState state = network->InitialState(kLifetimes, torch::kFloat32);
  const learner::SignalOutputs outputs =
      network->Run(rule.meta_parameters(), batch.steps,
                   RandomNormals({kLifetimes, kIterations * kSteps}, seed + 10), &state);
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
  for (const RuleEntry* entry : OuterRules()) {
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
  for (const RuleEntry* entry : OuterRules()) {
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
  for (const RuleEntry* entry : OuterRules()) {
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
  for (const RuleEntry* entry : OuterRules()) {
    INFO(entry->name);
    const auto rule = Make(*entry);
    REQUIRE(rule->Update(Batch(*rule, 400), 0).ok());
    const TensorMap before = Copy(rule->Save());
    LifetimeBatch batch = Batch(*rule, 450);
    batch.steps.shaped_rewards.fill_(std::numeric_limits<double>::quiet_NaN());
    batch.steps.success_signals.fill_(std::numeric_limits<float>::quiet_NaN());
    CHECK_FALSE(rule->Update(batch, 1).ok());
    CHECK(SameState(rule->Save(), before));
  }
}

}  // namespace
}  // namespace mentor::meta_learner
