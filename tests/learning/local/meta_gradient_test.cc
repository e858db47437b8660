// The blind agent of Umbrella Length (meta_gradient.md section 9) through the real services in one
// process: it learns nothing by itself, everything from a signal learned by meta-gradient, and
// nothing from one whose outer gradient is missing or has the wrong sign.
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
#include "meta_learner/store.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor {
namespace {

using meta_learner::OuterRule;
using meta_learner::RuleEntry;

// The real rule, which gets the gradient with the wrong sign.
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
    for (meta_learner::ShardGradient& shard : negated.shards) {
      if (shard.gradient.defined()) shard.gradient = -shard.gradient;
    }
    return inner_->Update(negated, outer_step);
  }

 private:
  const std::unique_ptr<OuterRule> inner_;
};

void RegisterNegatedRule() {
  static const bool registered = [] {
    const RuleEntry* real = Registry<RuleEntry>::Instance().Find("meta_gradient");
    REQUIRE(real != nullptr);
    RuleEntry negated = *real;
    negated.name = "meta_gradient_negated";
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

struct Curves {
  std::map<std::string, meta_learner::Series> points;
  // Mean over the last iterations: 192 training episodes of 32 each.
  double Last(const std::string& name) const {
    const meta_learner::Series& series = points.at(name);
    double sum = 0;
    for (size_t i = series.size() - 6; i < series.size(); ++i) sum += series[i].second;
    return sum / 6;
  }
};

Curves Learn(std::vector<std::string> overrides) {
  static const absl::Status numerics = learner::FixNumerics();
  REQUIRE(numerics.ok());
  RegisterNegatedRule();
  const auto text = ReadFile(std::string(MENTOR_SPEC_DIR) + "/umbrella_blind.txtpb", kSpecBytesMax);
  REQUIRE(text.ok());
  const std::vector<std::string> all = {"seed=3", "benchmark.length=2",
                                        "lifetime.steps_per_iteration=64", "lifetime.iterations=60",
                                        "rule.outer_updates=60"};
  overrides.insert(overrides.begin(), all.begin(), all.end());
  const auto spec = LoadSpec(*text, overrides, meta_learner::CheckParts);
  INFO(spec.status());
  REQUIRE(spec.ok());
  const testing::TempFolder folder;
  REQUIRE(RunLocally({.spec = *spec, .out = folder.path(), .metrics_address = {}, .quiet = true})
              .value_or(1) == 0);
  const auto store = meta_learner::OpenStore(folder.path());
  REQUIRE(store.ok());
  const auto run = FindRun(folder.path());
  REQUIRE(run.ok());
  auto points = (*store)->Points(run->experiment.filename().string());
  REQUIRE(points.ok());
  Curves curves{*std::move(points)};
  std::string settings;
  for (const std::string& setting : overrides) settings += " " + setting;
  WARN(settings << ": success " << curves.Last("success"));
  return curves;
}

constexpr double kSolved = 0.9, kChance = 0.7;

TEST_CASE("learning: a signal learned by meta-gradient teaches the blind agent", "[learning]") {
  const Curves curves = Learn({});
  CHECK(curves.Last("success") >= kSolved);
  // Within the bounds for a gradient, and a signal that says something.
  CHECK(curves.Last("outer_clip_fraction") < 0.3);
  CHECK(curves.Last("signal_sd") > 1e-3);
  // Episodes differ in `need` and noise: not one episode, replayed.
  for (const auto& [step, spread] : curves.points.at("episode_return_sd")) {
    INFO("round " << step);
    CHECK(spread > 0);
  }
}

TEST_CASE("learning: the blind agent learns nothing without a signal, or from a broken rule",
          "[learning]") {
  CHECK(Learn({"rule.c_in=0"}).Last("success") < kChance);
  CHECK(Learn({"rule.learning_rate=0"}).Last("success") < kChance);
  CHECK(Learn({"rule.name=meta_gradient_negated"}).Last("success") < kChance);
}

}  // namespace
}  // namespace mentor
