// The promises of every registered outer rule, with its default settings on a lifetime of the
// default length.
#include "methods/base/outer_rule.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/file.h"
#include "common/registry.h"
#include "meta_learner/curricula/curriculum.h"
#include "methods/base/inner_loop.h"
#include "methods/diayn/discriminator.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/paths.h"
#include "tests/pools.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::Previous;
using mentor::testing::RandomNormals;
using mentor::testing::RandomSegment;
using torch::Tensor;

constexpr int64_t kLifetimes = 4, kIterations = 3, kSteps = 2000;

// A signal network that can nothing but act.
class OpaqueNetwork : public signals::SignalNetwork, public signals::SignalSource {
 public:
  const SignalSource* signals() const override { return this; }
  const agents::ParamLayout& layout() const override { return layout_; }
  Tensor InitialWeights(uint64_t) const override { return torch::ones({2}); }
  signals::SignalOutputs Run(const Tensor& weights, const agents::Segment& segment, const Tensor&,
                             signals::SignalState* state) const override {
    const Tensor signals = segment.observations.select(-1, 0) * weights[0] + weights[1];
    state->previous = signals.select(1, -1).clone();
    return {.signals = signals, .log_probs = {}, .values = {}};
  }

 private:
  const agents::ParamLayout layout_{{{"w", {2}}}};
};

const signals::RegisterSignal kOpaque({
    .name = "opaque",
    .summary = "for tests",
    .options = {},
    .make = [](const signals::SignalContext&, const OptionValues&)
        -> std::unique_ptr<signals::SignalNetwork> { return std::make_unique<OpaqueNetwork>(); },
});

// A spec of the rule, with what it needs where the defaults do not fit.
v1::ExperimentSpec Spec(const RuleEntry& entry) {
  v1::ExperimentSpec spec;
  spec.set_seed(9);
  spec.mutable_benchmark()->set_name("none");
  spec.mutable_lifetime()->set_iterations(kIterations);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_rule()->set_lifetimes_per_update(kLifetimes);
  spec.mutable_rule()->set_outer_updates(3);
  spec.mutable_rule()->set_shard_lifetimes(kLifetimes / 2);
  AddExample(entry, &spec);
  if (spec.has_signal()) return spec;
  // A small lstm, the default.
  testing::SetOptions(
      spec.mutable_signal(),
      testing::Settings{
          {"enc1", "12"}, {"enc2", "4"}, {"lstm", "4"}, {"heads", "4"}, {"critic", "4"}});
  return spec;
}

v1::EnvironmentShape Shape(const v1::ExperimentSpec& spec) {
  return testing::Shape({.observation = kObservationSize,
                         .action = kActionSize,
                         .independent_episodes = true,
                         .discrete_actions = testing::WantsChoices(spec)});
}

std::shared_ptr<const signals::SignalNetwork> Network(const v1::ExperimentSpec& spec,
                                                      Violations* violations) {
  return signals::MakeSignalNetwork(spec.signal(),
                                    {.observation_size = kObservationSize,
                                     .action_size = kActionSize,
                                     .role = spec.signal().role(),
                                     .input = spec.signal().input(),
                                     .episode_steps = 10,
                                     .steps_per_iteration = kSteps},
                                    violations);
}

std::shared_ptr<const signals::SignalNetwork> Network(const v1::ExperimentSpec& spec) {
  Violations violations;
  auto network = Network(spec, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(network != nullptr);
  return network;
}

std::unique_ptr<OuterRule> Make(const RuleEntry& entry, int num_threads = 1) {
  const v1::ExperimentSpec spec = Spec(entry);
  Violations violations;
  auto rule = MakeOuterRule({.spec = spec,
                             .shape = Shape(spec),
                             .network = Network(spec),
                             .listed_tasks = kLifetimes,
                             .pool = testing::Pool(num_threads)},
                            &violations);
  INFO(entry.name << ": " << std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  return rule;
}

// Rules that read lifetimes of their own policies have separate tests, because random lives are not
// theirs. Rules that meta-learn nothing learn from no batch.
std::vector<const RuleEntry*> RulesForRandomLives() {
  std::vector<const RuleEntry*> rules;
  for (const RuleEntry* entry : OuterRules()) {
    const auto rule = Make(*entry);
    const RuleNeeds needs = rule->needs();
    if (!needs.meta_learns || needs.names_tasks) continue;
    if (needs.signal_network() || !needs.segments) rules.push_back(entry);
  }
  REQUIRE(!rules.empty());
  return rules;
}

// Lifetimes whose signals the rule's weights gave, in shards whose loops report random gradients:
// two, or one where the rule wants that.
LifetimeBatch Batch(const RuleEntry& entry, const OuterRule& rule, uint64_t seed) {
  LifetimeBatch batch;
  batch.environments.assign(kLifetimes, "somewhere");
  batch.steps_per_iteration = Spec(entry).lifetime().steps_per_iteration();
  const int64_t of_iteration = Spec(entry).lifetime().steps_per_iteration();
  const int64_t steps = (rule.needs().decisions_inside_lifetime ? 1 : kIterations) * of_iteration;
  batch.steps = RandomSegment(kLifetimes, steps, seed);
  const Tensor weights = rule.meta_parameters();
  const int64_t each = std::min<int64_t>(kLifetimes, Spec(entry).rule().shard_lifetimes());
  for (int64_t shard = 0; shard < kLifetimes / each; ++shard) {
    batch.shards.push_back(
        {.lifetimes = each,
         .gradient = RandomNormals(weights.sizes(), seed + 20 + shard, torch::kFloat64)});
  }
  if (!rule.needs().segments) return batch;
  const auto network = Network(Spec(entry));
  if (AsDiscriminator(network) != nullptr) {
    batch.steps.final_observations =
        RandomNormals({kLifetimes, steps / 10, kObservationSize}, seed + 30);
    return batch;
  }
  signals::SignalState state = network->signals()->InitialState(kLifetimes, torch::kFloat32);
  const signals::SignalOutputs outputs = network->signals()->Run(
      weights, batch.steps, RandomNormals({kLifetimes, steps}, seed + 10), &state);
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

TEST_CASE("outer rules: updates change the weights and give finite numbers", "[conformance]") {
  for (const RuleEntry* entry : RulesForRandomLives()) {
    INFO(entry->name);
    const auto rule = Make(*entry);
    const Tensor before = rule->meta_parameters().clone();
    CHECK(before.dtype() == torch::kFloat32);
    // A rule may keep its weights in an update, for instance where it found nothing better.
    bool changed = false;
    for (uint32_t step = 0; step < 10 && !changed; ++step) {
      const auto report = rule->Update(Batch(*entry, *rule, 100 + 500 * step), step);
      INFO(report.status().ToString());
      REQUIRE(report.ok());
      CHECK(CheckDeclared(entry->metrics, *report, entry->name).ToString() == "OK");
      for (const auto& [name, value] : *report) {
        INFO(name);
        CHECK(std::isfinite(value));
      }
      const Tensor after = rule->meta_parameters();
      REQUIRE(after.sizes() == before.sizes());
      CHECK(after.isfinite().all().item<bool>());
      CHECK_FALSE(after.requires_grad());
      changed = !torch::equal(after, before);
    }
    CHECK(changed);
  }
}

TEST_CASE("outer rules: the same bits on one thread and on three", "[conformance]") {
  for (const RuleEntry* entry : RulesForRandomLives()) {
    INFO(entry->name);
    const auto one = Make(*entry, 1), three = Make(*entry, 3);
    REQUIRE(SameState(one->Save(), three->Save()));
    for (uint32_t step = 0; step < 2; ++step) {
      const LifetimeBatch batch = Batch(*entry, *one, 200 + 50 * step);
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
    REQUIRE(whole->Update(Batch(*entry, *whole, 300), 0).ok());
    REQUIRE(resumed->Load(Copy(whole->Save())).ok());
    CHECK(SameState(whole->Save(), resumed->Save()));
    const LifetimeBatch batch = Batch(*entry, *whole, 350);
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
    REQUIRE(rule->Update(Batch(*entry, *rule, 400), 0).ok());
    const TensorMap before = Copy(rule->Save());
    LifetimeBatch batch = Batch(*entry, *rule, 450);
    batch.steps.shaped_rewards.fill_(std::numeric_limits<double>::quiet_NaN());
    batch.steps.success_signals.fill_(std::numeric_limits<float>::quiet_NaN());
    batch.steps.observations.fill_(std::numeric_limits<float>::quiet_NaN());
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
  const auto rule = MakeOuterRule(
      {.spec = spec, .shape = Shape(spec), .network = network, .listed_tasks = kLifetimes},
      &violations);
  CHECK((rule == nullptr) == !violations.empty());
  v1::Shard shard;
  *shard.mutable_spec() = spec;
  shard.add_lifetimes();
  *shard.mutable_shape() = Shape(spec);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(true);
  *shard.mutable_inner_loop() = InnerLoopOf(spec.rule());
  Violations of_loop;
  const auto loop = MakeInnerLoop(shard, {}, nullptr, {}, &of_loop);
  CHECK((loop == nullptr) == !of_loop.empty());
  violations.AddAll(of_loop);
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
    for (const signals::SignalEntry* signal : signals::SignalNetworks()) {
      for (const v1::SignalRole role : {v1::REWARD, v1::ADVANTAGE, v1::LOSS}) {
        v1::ExperimentSpec spec = Spec(*entry);
        // Settings of the example for this very network stay.
        if (spec.signal().name() != signal->name) spec.mutable_signal()->Clear();
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

TEST_CASE("outer rules: a capability that a network lacks, a rule that needs it refuses",
          "[conformance]") {
  int refused = 0, taken = 0;
  for (const RuleEntry* entry : OuterRules()) {
    const RuleNeeds needs = Make(*entry)->needs();
    if (!needs.signal_network()) continue;
    for (const signals::SignalEntry* signal : signals::SignalNetworks()) {
      v1::ExperimentSpec spec = Spec(*entry);
      spec.mutable_signal()->Clear();
      spec.mutable_signal()->set_name(signal->name);
      Violations violations;
      const auto network = Network(spec, &violations);
      if (network == nullptr) continue;  // In this role.
      INFO(entry->name << " with " << signal->name);
      const std::string refusal = Refusal(spec);
      using Need = RuleNeeds::Network;
      const bool lacks_density = needs.network == Need::kDensity && network->density() == nullptr;
      const bool lacks_gradient =
          needs.network == Need::kGradient && network->gradient() == nullptr;
      const bool lacks_condition =
          needs.conditions() &&
          (network->gradient() == nullptr || network->gradient()->conditioning_size() == 0);
      if (lacks_density || lacks_gradient || lacks_condition) {
        CHECK_FALSE(refusal.empty());
        ++refused;
        if (lacks_density) CHECK_THAT(refusal, Catch::Matchers::Contains("density"));
      } else if (const auto* loop = FindInnerLoop(entry->inner_loop);
                 signal->name == "opaque" && loop->network.empty() && !loop->learned_loss) {
        // Outcomes are enough.
        CHECK(refusal.empty());
        ++taken;
      }
    }
  }
  CHECK(refused > 0);
  CHECK(taken > 0);
}

// --- Metrics

// All metrics that can be reported beside each other.
TEST_CASE("outer rules: each metric is declared once, with a help", "[conformance]") {
  for (const RuleEntry* entry : OuterRules()) {
    const MetricTable all = AllMetrics(*entry);
    std::map<std::string, int> times;
    for (const MetricInfo& metric : all) {
      INFO(entry->name << ": " << metric.name);
      CHECK(++times[metric.name] == 1);
      CHECK(metric.help.ends_with('.'));
      CHECK(metric.help.find(" | ") == std::string::npos);  // A border of the list below.
      CHECK_FALSE(metric.unit.empty());
      // A family would take what another part reports.
      CHECK(FindMetric(all, metric.name) == &metric);
    }
    for (const MetricInfo& metric : FindInnerLoop(entry->inner_loop)->metrics) {
      INFO(entry->name << ": " << metric.name);
      CHECK(metric.unit != "s");  // Statistics are parts of results.
    }
  }
}

TEST_CASE("outer rules: metrics by which runs are compared mean the same in all", "[conformance]") {
  std::map<std::string, MetricInfo> compared;
  for (const RuleEntry* entry : OuterRules()) {
    for (const MetricInfo& metric : AllMetrics(*entry)) {
      if (metric.panel != MetricInfo::Panel::kCompared) continue;
      const MetricInfo& first = compared.emplace(metric.name, metric).first->second;
      INFO(entry->name << ": " << metric.name);
      CHECK(metric.help == first.help);
      CHECK(metric.unit == first.unit);
      CHECK(metric.label == first.label);
      CHECK_FALSE(metric.name.ends_with('*'));  // It names a file.
    }
  }
  CHECK(compared.contains("outer_grad_norm"));
}

// name | unit | panel | help, by part.
std::string Listed(const std::string& part, const MetricTable& metrics) {
  std::string text;
  for (const MetricInfo& metric : metrics) {
    INFO(metric.name << ": " << metric.help);
    // mentorctl sorts metrics by name, so no text may refer to the one before.
    for (const char* word : {"Its ", "Their ", "That ", "The same"})
      CHECK_FALSE(metric.help.starts_with(word));
    text += part + " | " + metric.name + " | " + metric.unit + " | " +
            std::string(PanelName(metric.panel)) + " | " + metric.help + "\n";
  }
  return text;
}

// docs/generate.py makes a page of this list. It may lack parts, for instance one that is being
// tried; what it has is true.
TEST_CASE("outer rules: the list of metrics for the docs is what the parts declare",
          "[conformance]") {
  const std::string file = testing::SourcePath("tests/data/experiment_metrics.txt");
  std::map<std::string, std::string> declared = {
      {"experiment", Listed("experiment", CommonMetrics())}};
  for (const RuleEntry* entry : OuterRules())
    declared["rule " + entry->name] = Listed("rule " + entry->name, entry->metrics);
  for (const InnerLoopEntry* entry : InnerLoops())
    declared["inner loop " + entry->name] = Listed("inner loop " + entry->name, entry->metrics);
  for (const meta_learner::CurriculumEntry* entry : meta_learner::Curricula())
    declared["curriculum " + entry->name] = Listed("curriculum " + entry->name, entry->metrics);
  declared.erase("rule reinforce");  // The examples of docs/adding.md.
  declared.erase("inner loop slow_ppo");
  if (std::getenv("MENTOR_REGENERATE") != nullptr) {
    std::string text =
        "# Metrics of experiments: part | name | unit | panel of reports | help.\n"
        "# Written by MENTOR_REGENERATE=1 build/tests/test_conformance_methods; docs/generate.py "
        "makes "
        "docs/experiment_metrics.md of it.\n";
    for (const auto& [part, lines] : declared) text += lines;
    REQUIRE(WriteFileAtomically(file, text, 0644).ok());
  }
  const auto text = ReadFile(file, 1 << 20);
  REQUIRE(text.ok());
  std::map<std::string, std::string> listed;
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = text->find('\n', begin);
    const std::string line = text->substr(begin, end + 1 - begin);
    if (line[0] != '#') listed[line.substr(0, line.find(" | "))] += line;
    begin = end + 1;
  }
  CHECK(listed.size() >= 10);
  for (const auto& [part, lines] : listed) {
    INFO(part << ": run MENTOR_REGENERATE=1 build/tests/test_conformance_methods "
                 "'*list of metrics*' && docs/generate.py");
    CHECK(lines == declared[part]);
  }
}

void CheckBlackBoxTakes(const std::string& network_name) {
  INFO(network_name);
  v1::ExperimentSpec spec = Spec(*Registry<RuleEntry>::Instance().Find("black_box"));
  spec.mutable_signal()->Clear();
  spec.mutable_signal()->set_name(network_name);
  spec.mutable_signal()->add_option()->set_name("density");
  spec.mutable_signal()->mutable_option()->rbegin()->set_value("true");
  Violations violations;
  const auto network = Network(spec);
  const auto rule =
      MakeOuterRule({.spec = spec, .shape = Shape(spec), .network = network}, &violations);
  REQUIRE(rule != nullptr);
  LifetimeBatch batch;
  batch.environments.assign(kLifetimes, "somewhere");
  batch.steps_per_iteration = kSteps;
  batch.steps = RandomSegment(kLifetimes, kIterations * kSteps, 500);
  signals::SignalState state = network->signals()->InitialState(kLifetimes, torch::kFloat32);
  const Tensor before = rule->meta_parameters().clone();
  // One iteration after the other, as in a learner.
  std::vector<Tensor> signals, log_probs, values;
  for (int64_t i = 0; i < kIterations; ++i) {
    const signals::SignalOutputs outputs = network->signals()->Run(
        before, mentor::testing::Piece(batch.steps, i * kSteps, kSteps),
        RandomNormals({kLifetimes, kSteps}, 510 + static_cast<uint64_t>(i)), &state);
    signals.push_back(outputs.signals);
    log_probs.push_back(outputs.log_probs);
    values.push_back(outputs.values);
  }
  batch.steps.signals = torch::cat(signals, 1);
  batch.steps.signal_log_probs = torch::cat(log_probs, 1);
  batch.steps.signal_values = torch::cat(values, 1);
  const auto report = rule->Update(batch, 0);
  INFO(report.status().ToString());
  REQUIRE(report.ok());
  CHECK_FALSE(torch::equal(rule->meta_parameters(), before));
}

TEST_CASE("outer rules: black_box takes an mlp with density and attention",
          "[conformance][nightly]") {
  CheckBlackBoxTakes("mlp");
  CheckBlackBoxTakes("attention");
}

}  // namespace mentor::methods::TEST_FILE
