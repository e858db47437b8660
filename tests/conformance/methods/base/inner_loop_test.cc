// The promises of every inner loop that a registered rule uses, on made-up segments. It continues
// from a saved state as if nothing had happened, and reports the metrics that it declares.
#include "methods/base/inner_loop.h"

#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/spec/spec.h"
#include "methods/base/outer_rule.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using agents::Segment;
using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::RandomSegment;

constexpr int kAgents = 3;
// Steps of an inner iteration: the fewest that the rule takes.
constexpr int64_t kSteps[] = {40, 280, 1000};

// A shard of four inner iterations, or of as many as the rule's example has, and the
// meta-parameters that its agents get.
struct Life {
  v1::Shard shard;
  torch::Tensor meta_parameters;
};

Life LifeOf(const RuleEntry& entry) {
  v1::ExperimentSpec spec;
  spec.set_seed(9);
  spec.mutable_benchmark()->set_name("none");
  spec.mutable_lifetime()->set_iterations(4);
  spec.mutable_agent()->set_hidden_units(8);
  spec.mutable_agent()->set_epochs(2);
  spec.mutable_agent()->set_minibatches(2);
  spec.mutable_rule()->set_lifetimes_per_update(kAgents + 1);  // Some rules want pairs.
  AddExample(entry, &spec);
  // The first network that the rule takes, as a rule or learner would refuse it by name.
  std::vector<std::string> networks = {spec.signal().name()};
  if (networks[0].empty()) {
    networks.clear();
    for (const signals::SignalEntry* signal : signals::SignalNetworks())
      networks.push_back(signal->name);
  }
  Life life;
  std::string refusals;
  std::vector<std::pair<int64_t, std::string>> choices;
  for (const int64_t steps : kSteps) {
    for (const std::string& name : networks) choices.emplace_back(steps, name);
  }
  for (const auto& [steps, name] : choices) {
    spec.mutable_lifetime()->set_steps_per_iteration(steps);
    spec.mutable_signal()->set_name(name);
    const v1::ExperimentSpec whole = WithDefaults(spec);
    v1::Shard& shard = life.shard;
    shard.Clear();
    *shard.mutable_spec() = whole;
    for (uint32_t i = 0; i < kAgents; ++i) {
      v1::Lifetime* lifetime = shard.add_lifetimes();
      lifetime->set_number(i);
      lifetime->set_task_index(i);
    }
    shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
    shard.set_outer_learning(true);
    shard.set_iterations(whole.lifetime().iterations());
    *shard.mutable_shape() = testing::Shape({.observation = kObservationSize,
                                             .action = kActionSize,
                                             .independent_episodes = true,
                                             .discrete_actions = testing::WantsChoices(whole)});
    *shard.mutable_inner_loop() = InnerLoopOf(whole.rule());
    shard.set_collections(FindInnerLoop(entry.inner_loop)->collections);
    Violations violations;
    const std::shared_ptr<const signals::SignalNetwork> network =
        signals::MakeSignalNetwork(whole.signal(),
                                   {.observation_size = kObservationSize,
                                    .action_size = kActionSize,
                                    .role = whole.signal().role(),
                                    .input = whole.signal().input(),
                                    .episode_steps = 10},
                                   &violations);
    if (network != nullptr) {
      const auto rule = MakeOuterRule(
          {.spec = whole, .shape = shard.shape(), .network = network, .listed_tasks = kAgents},
          &violations);
      if (rule != nullptr) life.meta_parameters = rule->meta_parameters();
    }
    if (violations.empty() && MakeInnerLoop(shard, life.meta_parameters, nullptr, {}, &violations))
      return life;
    refusals += std::string(violations.ToStatus().message()) + "\n";
  }
  INFO(entry.name << ": " << refusals);
  FAIL("no network suits");
  return life;
}

std::unique_ptr<InnerLoop> Make(const Life& life) {
  Violations violations;
  auto loop = MakeInnerLoop(life.shard, life.meta_parameters, nullptr, {}, &violations);
  REQUIRE(loop != nullptr);
  return loop;
}

// The same steps whatever the policies are.
LoopReport Live(const Life& life, InnerLoop* loop, uint32_t iteration) {
  const torch::NoGradGuard no_grad;
  LoopReport report;
  uint64_t collection = iteration * life.shard.collections();
  const int64_t steps = life.shard.spec().lifetime().steps_per_iteration();
  const auto segment = loop->Iterate(
      iteration,
      [&](const std::vector<v1::PolicyWeights>& policies) -> absl::StatusOr<Segment> {
        CHECK(policies.size() % kAgents == 0);
        Segment collected = RandomSegment(kAgents, steps, 100 * collection++);
        collected.prev_done.select(1, 0).fill_(iteration > 0 ? 1 : 0);
        collected.last_done.fill_(1);
        // For loops that ask.
        collected.final_observations =
            testing::RandomNormals({kAgents, steps / 10, kObservationSize}, collection);
        return collected;
      },
      &report);
  INFO(segment.status());
  REQUIRE(segment.ok());
  CHECK(collection == (iteration + 1) * life.shard.collections());
  CHECK(segment->observations.size(1) == steps * life.shard.collections());
  return report;
}

std::string PoliciesOf(const InnerLoop& loop) {
  std::string bytes;
  for (const v1::PolicyWeights& policy : loop.Policies()) bytes += policy.SerializeAsString();
  return bytes;
}

bool SameBits(const torch::Tensor& a, const torch::Tensor& b) {
  return a.defined() == b.defined() && (!a.defined() || torch::equal(a, b));
}

TEST_CASE("inner loops: DPO's drift changes the agents, or is refused", "[conformance]") {
  int drifts = 0, refused = 0;
  for (const RuleEntry* entry : OuterRules()) {
    INFO(entry->name);
    const Life clip = LifeOf(*entry);
    Life drift = clip;
    v1::AgentSpec* agent = drift.shard.mutable_spec()->mutable_agent();
    agent->set_surrogate(v1::DPO);
    agent->set_dpo_alpha(1e-3);
    agent->set_dpo_beta(1e-3);
    if (!FindInnerLoop(entry->inner_loop)->surrogate) {
      Violations violations;
      CHECK(MakeInnerLoop(drift.shard, drift.meta_parameters, nullptr, {}, &violations) == nullptr);
      REQUIRE(violations.list().size() == 1);
      CHECK(violations.list()[0].field == "agent.surrogate");
      ++refused;
      continue;
    }
    const auto with_clip = Make(clip), with_drift = Make(drift);
    for (InnerLoop* loop : {with_clip.get(), with_drift.get()}) loop->Begin();
    Live(clip, with_clip.get(), 0);
    Live(drift, with_drift.get(), 0);
    CHECK(PoliciesOf(*with_clip) != PoliciesOf(*with_drift));
    ++drifts;
  }
  CHECK(drifts > 5);
  CHECK(refused > 3);
}

TEST_CASE("inner loops: a saved state goes on as if nothing had happened", "[conformance]") {
  int compared = 0;
  for (const RuleEntry* entry : OuterRules()) {
    INFO(entry->name << ", " << entry->inner_loop);
    const Life life = LifeOf(*entry);
    const uint32_t iterations = life.shard.iterations();
    if (iterations < 2) continue;  // Nothing goes on.
    const auto whole = Make(life);
    whole->Begin();
    for (uint32_t iteration = 0; iteration + 1 < iterations; ++iteration) {
      Live(life, whole.get(), iteration);
      TensorMap state;
      for (const auto& [name, tensor] : whole->Save()) state[name] = tensor.clone();
      const auto resumed = Make(life);
      REQUIRE(resumed->Load(state).ok());
      CHECK(PoliciesOf(*whole) == PoliciesOf(*resumed));
      // One further step by both, from the same state of the first.
      const auto again = Make(life);
      REQUIRE(again->Load(state).ok());
      const LoopReport a = Live(life, again.get(), iteration + 1),
                       b = Live(life, resumed.get(), iteration + 1);
      CHECK(a.statistics == b.statistics);
      if (iteration + 2 == iterations) {
        const LoopReport c = Live(life, whole.get(), iteration + 1);
        CHECK(SameBits(c.outer_gradient, b.outer_gradient));
        CHECK(c.statistics == b.statistics);
        CHECK(PoliciesOf(*whole) == PoliciesOf(*resumed));
        ++compared;
      }
    }
    CHECK_FALSE(Make(life)->Load({}).ok());
  }
  CHECK(compared >= 5);
}

TEST_CASE("inner loops: reports have finite numbers, each of them declared", "[conformance]") {
  std::map<std::string, std::set<std::string>> reported;
  for (const RuleEntry* entry : OuterRules()) {
    INFO(entry->name << ", " << entry->inner_loop);
    const Life life = LifeOf(*entry);
    const MetricTable& declared = FindInnerLoop(entry->inner_loop)->metrics;
    const auto loop = Make(life);
    loop->Begin();
    bool gave_gradient = false;
    for (uint32_t iteration = 0; iteration < life.shard.iterations(); ++iteration) {
      const LoopReport report = Live(life, loop.get(), iteration);
      gave_gradient |= report.outer_gradient.defined();
      CHECK(CheckDeclared(declared, report.statistics, entry->inner_loop).ToString() == "OK");
      for (const auto& [name, value] : report.statistics) {
        INFO(name);
        CHECK(std::isfinite(value));
        reported[entry->inner_loop].insert(name);
      }
      CHECK(report.nonfinite_updates == 0);
    }
    CHECK(gave_gradient == GivesGradient(life.shard));
  }
  // Not only by silence.
  CHECK(reported["meta_gradient"].contains("inner_kl"));
  CHECK(reported["adaptation"].contains("adaptation_length_0"));
  CHECK(reported["latent_adaptation"].contains("latent_step_0"));
}

TEST_CASE("signal networks: each gives signals, is a loss, or belongs to one inner loop",
          "[conformance]") {
  for (const signals::SignalEntry* entry : signals::SignalNetworks()) {
    INFO(entry->name);
    int owners = 0;
    for (const InnerLoopEntry* loop : InnerLoops()) owners += loop->network == entry->name ? 1 : 0;
    Violations none;
    const auto network = entry->make({.observation_size = 4, .action_size = 2, .episode_steps = 10},
                                     OptionValues::Parse(entry->options, {}, "", &none));
    CHECK((network->signals() != nullptr) + (network->loss() != nullptr) + owners == 1);
    // Further capabilities are about its signals.
    if (network->signals() == nullptr) {
      CHECK(network->density() == nullptr);
      CHECK(network->explainer() == nullptr);
    }
  }
}

}  // namespace mentor::methods::TEST_FILE
