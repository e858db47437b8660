// Evolution strategies on point_reach (tier V) through the real services in one process: agents
// learn from the signal that they find, and do not from one whose estimate is missing or has the
// wrong sign. The same spec gives the same bits whoever computes it.
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

// The real rule, whose fitness has the wrong sign.
class NegatedRule final : public OuterRule {
 public:
  explicit NegatedRule(std::unique_ptr<OuterRule> inner) : inner_(std::move(inner)) {}
  meta_learner::RuleNeeds needs() const override { return inner_->needs(); }
  torch::Tensor meta_parameters() const override { return inner_->meta_parameters(); }
  meta_learner::TensorMap Save() const override { return inner_->Save(); }
  absl::Status Load(const meta_learner::TensorMap& state) override { return inner_->Load(state); }
  absl::StatusOr<meta_learner::RuleReport> Update(const meta_learner::LifetimeBatch& batch,
                                                  uint32_t outer_step) override {
    meta_learner::LifetimeBatch negated = batch;
    negated.steps.shaped_rewards = -negated.steps.shaped_rewards;
    return inner_->Update(negated, outer_step);
  }

 private:
  const std::unique_ptr<OuterRule> inner_;
};

void RegisterNegatedRule() {
  static const bool registered = [] {
    const RuleEntry* real = Registry<RuleEntry>::Instance().Find("evolution_strategies");
    REQUIRE(real != nullptr);
    RuleEntry negated = *real;
    negated.name = "evolution_strategies_negated";
    negated.make = [real](const meta_learner::RuleContext& context, const OptionValues& options,
                          Violations* violations) -> std::unique_ptr<OuterRule> {
      auto inner = real->make(context, options, violations);
      return inner == nullptr ? nullptr : std::make_unique<NegatedRule>(std::move(inner));
    };
    Registry<RuleEntry>::Instance().Add(std::move(negated));
    return true;
  }();
  REQUIRE(registered);
}

v1::ExperimentSpec Spec(std::vector<std::string> overrides) {
  static const absl::Status numerics = learner::FixNumerics();
  REQUIRE(numerics.ok());
  RegisterNegatedRule();
  const auto text = ReadFile(std::string(MENTOR_SPEC_DIR) + "/point_reach_es.txtpb", kSpecBytesMax);
  REQUIRE(text.ok());
  const std::vector<std::string> learned_only = {
      "evaluation.train_goals=false", "evaluation.best_weights=false", "evaluation.baseline="};
  overrides.insert(overrides.begin(), learned_only.begin(), learned_only.end());
  const auto spec = LoadSpec(*text, overrides, meta_learner::CheckParts);
  INFO(spec.status());
  REQUIRE(spec.ok());
  return *spec;
}

// Success in the last segment of lifetimes on fresh goals.
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
      const int episodes = lifetime.episode_success_size();
      for (int i = episodes - static_cast<int>(*lifetime.segment_episodes().rbegin()); i < episodes;
           ++i) {
        sum += lifetime.episode_success(i);
        ++count;
      }
    }
  }
  REQUIRE(count > 0);
  std::string settings;
  for (const std::string& setting : overrides) settings += " " + setting;
  WARN("point_reach_es.txtpb" << settings << ": seg2 " << sum / count);
  return sum / count;
}

constexpr double kThreshold = 0.50, kBrokenMargin = 0.05;

TEST_CASE("learning: evolution strategies find an advantage for point_reach", "[learning]") {
  CHECK(Learn({}) >= kThreshold);
}
TEST_CASE("learning: broken evolution strategies, zero outer gradient", "[learning]") {
  CHECK(Learn({"rule.learning_rate=0"}) < kThreshold - kBrokenMargin);
}
TEST_CASE("learning: broken evolution strategies, flipped outer gradient", "[learning]") {
  CHECK(Learn({"rule.name=evolution_strategies_negated"}) < kThreshold - kBrokenMargin);
}

TEST_CASE("evolution strategies: the same bits whoever collects and learns", "[learning]") {
  std::vector<std::string> hashes;
  for (const int workers : {1, 3}) {
    const testing::TempFolder folder;
    REQUIRE(RunLocally({.spec = Spec({"rule.outer_updates=3", "rule.lifetimes_per_update=12",
                                      "rule.shard_lifetimes=3", "evaluation.lifetimes_per_goal=0"}),
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
