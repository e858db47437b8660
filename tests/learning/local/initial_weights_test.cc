// Rules that learn initial weights, MAML and Reptile, on 2-D navigation through the real services
// in one process: what is learned speeds up learning on goals never seen, and a rule whose outer
// step is missing or goes the other way falls short of the threshold.
#include <map>
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
using torch::Tensor;

// The real rule, whose outer steps go the other way.
class FlippedRule final : public OuterRule {
 public:
  explicit FlippedRule(std::unique_ptr<OuterRule> inner) : inner_(std::move(inner)) {}
  meta_learner::RuleNeeds needs() const override { return inner_->needs(); }
  Tensor meta_parameters() const override { return inner_->meta_parameters(); }
  meta_learner::TensorMap Save() const override { return inner_->Save(); }
  absl::Status Load(const meta_learner::TensorMap& state) override { return inner_->Load(state); }
  absl::StatusOr<meta_learner::RuleReport> Update(const meta_learner::LifetimeBatch& batch,
                                                  uint32_t outer_step) override {
    const Tensor before = inner_->Save().at("weights");
    auto report = inner_->Update(batch, outer_step);
    if (!report.ok()) return report;
    meta_learner::TensorMap state = inner_->Save();
    state["weights"] = 2 * before - state.at("weights");
    const absl::Status loaded = inner_->Load(state);
    if (!loaded.ok()) return loaded;
    return report;
  }

 private:
  const std::unique_ptr<OuterRule> inner_;
};

void RegisterFlippedRules() {
  static const bool registered = [] {
    for (const char* name : {"maml", "reptile"}) {
      const RuleEntry* real = Registry<RuleEntry>::Instance().Find(name);
      REQUIRE(real != nullptr);
      RuleEntry flipped = *real;
      flipped.name += "_flipped";
      flipped.make = [real](const meta_learner::RuleContext& context, const OptionValues& options,
                            Violations* violations) -> std::unique_ptr<OuterRule> {
        auto inner = real->make(context, options, violations);
        return inner == nullptr ? nullptr : std::make_unique<FlippedRule>(std::move(inner));
      };
      Registry<RuleEntry>::Instance().Add(std::move(flipped));
    }
    return true;
  }();
  REQUIRE(registered);
}

// Mean return of an episode by inner iteration, on unseen goals, of the learned weights and of the
// baselines by name.
std::map<std::string, std::vector<double>> Returns(const std::string& spec_file,
                                                   const std::vector<std::string>& overrides) {
  static const absl::Status numerics = learner::FixNumerics();
  REQUIRE(numerics.ok());
  RegisterFlippedRules();
  const auto text = ReadFile(std::string(MENTOR_SPEC_DIR) + "/" + spec_file, kSpecBytesMax);
  REQUIRE(text.ok());
  const auto spec = LoadSpec(*text, overrides, meta_learner::CheckParts);
  INFO(spec.status());
  REQUIRE(spec.ok());
  const testing::TempFolder folder;
  REQUIRE(RunLocally({.spec = *spec,
                      .out = folder.path(),
                      .threads_per_actor = 2,
                      .learner_threads = 2,
                      .quiet = true})
              .value_or(1) == 0);
  const auto run = FindRun(folder.path());
  REQUIRE(run.ok());
  const auto shards = meta_learner::ReadEvaluation(run->experiment);
  REQUIRE(shards.ok());
  std::map<std::string, std::vector<double>> sums;
  std::map<std::string, std::vector<int>> counts;
  const auto iterations = static_cast<size_t>(spec->lifetime().iterations());
  for (const v1::EvaluationShard& shard : *shards) {
    if (shard.split() != "test") continue;
    auto& sum = sums[shard.method()];
    auto& count = counts[shard.method()];
    sum.resize(iterations);
    count.resize(iterations);
    for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes()) {
      int episode = 0;
      for (size_t i = 0; i < iterations; ++i) {
        for (uint32_t e = 0; e < lifetime.segment_episodes(static_cast<int>(i)); ++e) {
          sum[i] += lifetime.episode_return(episode++);
          ++count[i];
        }
      }
    }
  }
  for (auto& [method, sum] : sums) {
    for (size_t i = 0; i < iterations; ++i) sum[i] /= counts[method][i];
    WARN(spec_file << ", " << method << ": mean return " << sum.front() << " before learning, "
                   << sum.back() << " at the end");
  }
  return sums;
}

// Share of the loss (returns are negative) that learning takes away within a lifetime.
double Improvement(const std::vector<double>& returns) {
  return (returns.back() - returns.front()) / -returns.front();
}

// survey.md: one step improves the mean return by this much over the initial policy.
constexpr double kMamlImprovement = 0.4;  // Measured: 0.60; 0.19 without outer steps.
constexpr double kBrokenMargin = 0.1;

const std::vector<std::string> kMaml = {"rule.outer_updates=15", "evaluation.goals=40"};

// Mean return after the first update of a lifetime: between the learned weights (-3.3) and new ones
// (-3.9).
constexpr double kReptileReturn = -3.6;
const std::vector<std::string> kReptile = {"rule.outer_updates=10", "evaluation.goals=40"};

std::vector<double> Learned(const std::string& spec_file, std::vector<std::string> overrides,
                            const std::string& broken) {
  overrides.emplace_back("evaluation.baseline=");
  overrides.push_back(broken);
  return Returns(spec_file, overrides).at("learned");
}

TEST_CASE("learning: one step from MAML's weights finds unseen goals", "[learning]") {
  const auto returns = Returns("maml_navigation.txtpb", kMaml);
  CHECK(Improvement(returns.at("learned")) >= kMamlImprovement);
  CHECK(returns.at("learned").back() > returns.at("PPO shaped").back());
  CHECK(returns.at("learned").back() > returns.at("PPO sparse").back());
}
TEST_CASE("learning: broken MAML, zero outer gradient", "[learning]") {
  const auto returns = Learned("maml_navigation.txtpb", kMaml, "rule.line_search_start=0");
  CHECK(Improvement(returns) < kMamlImprovement - kBrokenMargin);
}
TEST_CASE("learning: broken MAML, flipped outer gradient", "[learning]") {
  const auto returns = Learned("maml_navigation.txtpb", kMaml, "rule.name=maml_flipped");
  CHECK(Improvement(returns) < kMamlImprovement - kBrokenMargin);
}

TEST_CASE("learning: agents with Reptile's weights are ahead on unseen goals", "[learning]") {
  const auto returns = Returns("reptile_navigation.txtpb", kReptile);
  CHECK(returns.at("learned")[1] >= kReptileReturn);
  CHECK(returns.at("PPO shaped")[1] < kReptileReturn);
  CHECK(returns.at("PPO sparse")[1] < kReptileReturn);
}
TEST_CASE("learning: broken Reptile, zero outer gradient", "[learning]") {
  CHECK(Learned("reptile_navigation.txtpb", kReptile, "rule.outer_rate=0")[1] < kReptileReturn);
}
TEST_CASE("learning: broken Reptile, flipped outer gradient", "[learning]") {
  CHECK(Learned("reptile_navigation.txtpb", kReptile, "rule.name=reptile_flipped")[1] <
        kReptileReturn);
}

}  // namespace
}  // namespace mentor
