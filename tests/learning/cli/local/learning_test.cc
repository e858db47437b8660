#include "tests/learning/learning.h"

#include <memory>
#include <utility>

#include <absl/strings/str_cat.h>

#include "agents/numerics.h"
#include "cli/local/local_run.h"
#include "cli/local/run_hash.h"
#include "cli/local/run_report.h"
#include "cli/local/trained_run.h"
#include "common/check.h"
#include "common/evaluation_method.h"
#include "common/registry.h"
#include "common/spec/spec.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/store/store.h"
#include "methods/base/outer_rule.h"
#include "tests/checked_spec_of.h"
#include "tests/learning/broken_parts.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"
#include "tests/wrapped_rule.h"

namespace mentor::testing::TEST_FILE {

using methods::OuterRule;
using methods::RuleEntry;

// The real rule, whose steps go the other way.
class FlippedRule final : public WrappedRule {
 public:
  using WrappedRule::WrappedRule;

  absl::StatusOr<methods::RuleReport> DoRun(methods::Fleet* fleet, uint32_t outer_step) override {
    const torch::Tensor before = inner_->Save().at("weights");
    auto report = inner_->Run(fleet, outer_step);
    if (!report.ok()) return report;
    methods::TensorMap state = inner_->Save();
    state["weights"] = 2 * before - state.at("weights");
    MENTOR_RETURN_IF_ERROR(inner_->Load(state));
    return report;
  }
};

void RegisterFlippedRules() {
  static const bool once = [] {
    auto& registry = Registry<RuleEntry>::Instance();
    for (const RuleEntry* real : registry.All()) {
      RuleEntry flipped = *real;
      flipped.name += "_flipped";
      flipped.make = [real](const methods::RuleContext& context) {
        return std::make_unique<FlippedRule>(real->make(context));
      };
      registry.Add(std::move(flipped));
    }
    RegisterBrokenParts();
    return true;
  }();
  REQUIRE(once);
}

using Episodes = google::protobuf::RepeatedField<double> const& (v1::EvaluatedLifetime::*)() const;

std::map<std::string, std::vector<double>> ByIteration(
    const std::vector<v1::EvaluationShard>& evaluation, Episodes episodes) {
  std::map<std::string, std::vector<double>> means, counts;
  for (const v1::EvaluationShard& shard : evaluation) {
    if (shard.split() != "test") continue;
    auto& sum = means[NameOf(shard.taught_by())];
    auto& count = counts[NameOf(shard.taught_by())];
    for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes()) {
      sum.resize(lifetime.segment_episodes_size());
      count.resize(sum.size());
      int episode = 0;
      for (size_t i = 0; i < sum.size(); ++i) {
        for (uint32_t e = 0; e < lifetime.segment_episodes(static_cast<int>(i)); ++e) {
          sum[i] += (lifetime.*episodes)()[episode++];
          ++count[i];
        }
      }
    }
  }
  for (auto& [method, sum] : means) {
    for (size_t i = 0; i < sum.size(); ++i) {
      REQUIRE(counts[method][i] > 0);
      sum[i] /= counts[method][i];
    }
    WARN(method << ": " << sum.front() << " before learning, " << sum.back() << " at the end");
  }
  return means;
}

}  // namespace mentor::testing::TEST_FILE

namespace mentor::testing {

v1::ExperimentSpec ReadySpec(const std::string& file, const std::vector<std::string>& overrides) {
  static const absl::Status numerics = agents::FixNumerics();
  REQUIRE(numerics.ok());
  TEST_FILE::RegisterFlippedRules();
  const auto spec = LoadSpecFile(SourcePath(absl::StrCat("experiments/", file)), overrides);
  INFO(spec.status());
  REQUIRE(spec.ok());
  std::string settings;
  for (const std::string& setting : overrides) settings += " " + setting;
  WARN(file << settings);
  return *spec;
}

Learned Run(const v1::ExperimentSpec& spec, int workers) {
  const TempFolder folder;
  REQUIRE(RunLocally({.checked = CheckedSpecOf(spec),
                      .out = folder.path(),
                      .actors = workers,
                      .threads = workers,
                      .metrics_address = {},
                      .quiet = true,
                      .report = false})
              .value_or(1) == 0);
  Learned learned;
  const auto run = FindRun(folder.path());
  REQUIRE(run.ok());
  auto evaluation = meta_learner::ReadEvaluation(run->experiment);
  REQUIRE(evaluation.ok());
  learned.evaluation = *std::move(evaluation);
  const auto store = meta_learner::OpenStore(folder.path());
  REQUIRE(store.ok());
  const auto points = (*store)->results.Points(run->experiment.filename().string());
  REQUIRE(points.ok());
  for (const auto& [name, series] : *points) {
    for (const auto& [step, value] : series) learned.metrics[name].push_back(value);
  }
  if (spec.rule().outer_updates() == 0) return learned;  // Nothing was learned.
  const auto hash = HashRun(folder.path());
  REQUIRE(hash.ok());
  CHECK(hash->outer_step == spec.rule().outer_updates());
  learned.hash = hash->state_hash;
  const auto trained = ReadRun(folder.path());
  REQUIRE(trained.ok());
  learned.meta_parameters = trained->parts.rule->meta_parameters();
  learned.network = trained->parts.network;
  return learned;
}

Learned Run(const std::string& file, const std::vector<std::string>& overrides) {
  return Run(ReadySpec(file, overrides));
}

std::map<std::string, std::vector<double>> Learned::Successes() const {
  return TEST_FILE::ByIteration(evaluation, &v1::EvaluatedLifetime::episode_success);
}

std::map<std::string, std::vector<double>> Learned::Returns() const {
  return TEST_FILE::ByIteration(evaluation, &v1::EvaluatedLifetime::episode_return);
}

double Learned::Last(const std::string& metric, size_t count) const {
  const std::vector<double>& values = metrics.at(metric);
  REQUIRE(values.size() >= count);
  double sum = 0;
  for (size_t i = values.size() - count; i < values.size(); ++i) sum += values[i];
  WARN(metric << ": " << values.front() << " at first, " << sum / static_cast<double>(count)
              << " at the end");
  return sum / static_cast<double>(count);
}

void CheckSameBits(const std::string& file, const std::vector<std::string>& overrides) {
  const v1::ExperimentSpec spec = ReadySpec(file, overrides);
  CHECK(Run(spec, 1).hash == Run(spec, 3).hash);
}

}  // namespace mentor::testing
