// RL^2 on the two-armed bandit of survey.md through the real services in one process: a recurrent
// policy learns to explore and to exploit, and does not when its outer gradient is missing or has
// the wrong sign. The same spec gives the same bits whoever computes it.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/file.h"
#include "common/registry.h"
#include "common/spec.h"
#include "learner/agents/numerics.h"
#include "mentor/local_run.h"
#include "mentor/run_report.h"
#include "meta_learner/experiment_runner.h"
#include "meta_learner/rules/outer_rule.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor {
namespace {

using meta_learner::OuterRule;
using meta_learner::RuleEntry;

// The real rule, whose updates go the other way.
class FlippedRule final : public OuterRule {
 public:
  explicit FlippedRule(std::unique_ptr<OuterRule> inner) : inner_(std::move(inner)) {}
  meta_learner::RuleNeeds needs() const override { return inner_->needs(); }
  torch::Tensor meta_parameters() const override { return inner_->meta_parameters(); }
  meta_learner::TensorMap Save() const override { return inner_->Save(); }
  absl::Status Load(const meta_learner::TensorMap& state) override { return inner_->Load(state); }
  absl::StatusOr<meta_learner::RuleReport> Update(const meta_learner::LifetimeBatch& batch,
                                                  uint32_t outer_step) override {
    const torch::Tensor before = inner_->meta_parameters().clone();
    auto report = inner_->Update(batch, outer_step);
    if (!report.ok()) return report;
    meta_learner::TensorMap state = inner_->Save();
    state["weights"] = 2 * before - state.at("weights");
    MENTOR_RETURN_IF_ERROR(inner_->Load(state));
    return report;
  }

 private:
  const std::unique_ptr<OuterRule> inner_;
};

void RegisterFlippedRule() {
  static const bool registered = [] {
    const RuleEntry* real = Registry<RuleEntry>::Instance().Find("rl2");
    REQUIRE(real != nullptr);
    RuleEntry flipped = *real;
    flipped.name = "rl2_flipped";
    flipped.make = [real](const meta_learner::RuleContext& context, const OptionValues& options,
                          Violations* violations) -> std::unique_ptr<OuterRule> {
      auto inner = real->make(context, options, violations);
      return inner == nullptr ? nullptr : std::make_unique<FlippedRule>(std::move(inner));
    };
    Registry<RuleEntry>::Instance().Add(std::move(flipped));
    return true;
  }();
  REQUIRE(registered);
}

// The ready spec, shorter.
v1::ExperimentSpec Spec(std::vector<std::string> overrides) {
  static const absl::Status numerics = learner::FixNumerics();
  REQUIRE(numerics.ok());
  RegisterFlippedRule();
  const auto text = ReadFile(std::string(MENTOR_SPEC_DIR) + "/rl2_bandit.txtpb", kSpecBytesMax);
  REQUIRE(text.ok());
  const std::vector<std::string> shorter = {"rule.outer_updates=15", "evaluation.goals=300",
                                            "evaluation.baseline="};
  overrides.insert(overrides.begin(), shorter.begin(), shorter.end());
  const auto spec = LoadSpec(*text, overrides, meta_learner::CheckParts);
  INFO(spec.status());
  REQUIRE(spec.ok());
  return *spec;
}

// Mean pay of a pull on fresh bandits: 0.5 at random, 0.75 with the best arms, 0.715 by Thompson
// sampling.
double Learn(const std::vector<std::string>& overrides) {
  const v1::ExperimentSpec spec = Spec(overrides);
  const testing::TempFolder folder;
  REQUIRE(RunLocally({.spec = spec,
                      .out = folder.path(),
                      .threads_per_actor = 2,
                      .learner_threads = 2,
                      .quiet = true})
              .value_or(1) == 0);
  const auto run = FindRun(folder.path());
  REQUIRE(run.ok());
  const auto shards = meta_learner::ReadEvaluation(run->experiment);
  REQUIRE(shards.ok());
  double sum = 0, count = 0;
  for (const v1::EvaluationShard& shard : *shards) {
    for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes()) {
      for (const double pay : lifetime.episode_return()) sum += pay;
      count += lifetime.episode_return_size();
    }
  }
  REQUIRE(count == 300 * 100);
  std::string settings;
  for (const std::string& setting : overrides) settings += " " + setting;
  WARN("rl2_bandit.txtpb" << settings << ": pay " << sum / count);
  return sum / count;
}

constexpr double kThreshold = 0.66, kBrokenMargin = 0.05;

TEST_CASE("learning: RL^2 learns to explore and exploit a bandit", "[learning]") {
  CHECK(Learn({}) >= kThreshold);
}
TEST_CASE("learning: broken RL^2, zero outer gradient", "[learning]") {
  CHECK(Learn({"rule.learning_rate=0"}) < kThreshold - kBrokenMargin);
}
TEST_CASE("learning: broken RL^2, flipped outer gradient", "[learning]") {
  CHECK(Learn({"rule.name=rl2_flipped"}) < kThreshold - kBrokenMargin);
}

TEST_CASE("RL^2: the same bits whoever collects and learns", "[learning]") {
  std::vector<std::string> hashes;
  for (const int workers : {1, 3}) {
    const testing::TempFolder folder;
    REQUIRE(RunLocally({.spec = Spec({"rule.outer_updates=3", "rule.lifetimes_per_update=12",
                                      "rule.shard_lifetimes=4", "evaluation.lifetimes_per_goal=0"}),
                        .out = folder.path(),
                        .actors = workers,
                        .threads_per_actor = 1,
                        .learner_threads = workers,
                        .quiet = true})
                .value_or(1) == 0);
    const auto hash = HashRun(folder.path());
    REQUIRE(hash.ok());
    CHECK(hash->outer_step == 3);
    hashes.push_back(hash->state_hash);
  }
  CHECK(hashes[0] == hashes[1]);
}

}  // namespace
}  // namespace mentor
