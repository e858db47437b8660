#include <set>
#include <string_view>

#include <absl/strings/str_cat.h>

#include "common/evaluation_method.h"
#include "meta_learner/experiment/checked_spec.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/experiment/parts.h"
#include "methods/base/outer_rule.h"

namespace mentor::meta_learner {
namespace {

// With more inner iterations a `*` replaces their numbers, because the list goes over the wire.
constexpr uint32_t kSegmentsMax = 100;

std::vector<std::string> Segments(uint32_t iterations) {
  if (iterations > kSegmentsMax) return {"seg*"};
  std::vector<std::string> names;
  for (uint32_t i = 0; i < iterations; ++i) names.push_back(absl::StrCat("seg", i));
  return names;
}

// The common metrics (experiment_metrics.cc) that a rule never has.
std::set<std::string_view> Missing(const methods::RuleNeeds& needs) {
  std::set<std::string_view> missing;
  if (needs.decisions_inside_lifetime) {
    missing = {"seg*", "success_episode_*"};
  } else {
    missing = {"success", "success/*", "generation", "iteration"};
  }
  if (needs.names_tasks) missing.insert("best_score");
  return missing;
}

void AddMetrics(const v1::ExperimentSpec& spec, const ExperimentParts& parts,
                std::vector<std::string>* names) {
  const methods::RuleNeeds needs = parts.rule->needs();
  const std::set<std::string_view> missing = Missing(needs);
  // Numbers by environment exist when there are several; a rule that names tasks may have any.
  const bool several = needs.names_tasks || parts.benchmark->Tasks(envs::Split::kTrain).size() > 1;
  for (const MetricInfo& metric : AllMetrics(spec)) {
    if (missing.contains(metric.name)) continue;
    if (metric.name == "seg*") {
      for (const std::string& segment : Segments(needs.iterations(spec.lifetime()))) {
        names->push_back(segment);
        if (several) names->push_back(segment + "/*");
      }
    } else if (several || !metric.name.ends_with("/*") ||
               FindMetric(CommonMetrics(), metric.name) == nullptr) {
      names->push_back(metric.name);
    }
  }
}

void AddEvaluation(const v1::ExperimentSpec& spec, const envs::Benchmark& benchmark,
                   std::vector<std::string>* names) {
  if (spec.evaluation().lifetimes_per_goal() == 0) return;
  for (const EvaluatedTeacher& one : EvaluatedTeachers(benchmark, spec, {})) {
    const std::string prefix =
        absl::StrCat("evaluation/", SplitName(one.split), "/", TagOf(one.teacher.method), "/");
    for (const std::string& segment : Segments(spec.lifetime().iterations()))
      names->push_back(prefix + segment);
    names->push_back(prefix + "last");
    if (spec.evaluation().deterministic_episodes() > 0) names->push_back(prefix + "det");
    names->push_back(prefix + "return");
  }
}

}  // namespace

std::vector<std::string> ReportedNumbers(const v1::ExperimentSpec& spec,
                                         const ExperimentParts& parts) {
  std::vector<std::string> names;
  if (spec.rule().outer_updates() > 0) AddMetrics(spec, parts, &names);
  AddEvaluation(spec, *parts.benchmark, &names);
  return names;
}

}  // namespace mentor::meta_learner
