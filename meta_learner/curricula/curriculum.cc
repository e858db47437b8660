#include "meta_learner/curricula/curriculum.h"

#include <utility>

#include "methods/base/outer_rule.h"

namespace mentor::meta_learner {

const std::vector<const CurriculumEntry*>& Curricula() {
  static const auto all = Registry<CurriculumEntry>::Instance().All();
  return all;
}

std::unique_ptr<Curriculum> MakeCurriculum(const CurriculumContext& context,
                                           Violations* violations) {
  const auto& registry = Registry<CurriculumEntry>::Instance();
  const v1::CurriculumSpec& spec = context.spec.curriculum();
  const CurriculumEntry* entry = registry.Find(spec.name());
  if (entry == nullptr) {
    violations->Add("curriculum.name", registry.Unknown("curriculum", spec.name()));
    return nullptr;
  }
  Violations own;
  const OptionValues options =
      OptionValues::Parse(entry->options, spec.option(), "curriculum.option", &own);
  std::unique_ptr<Curriculum> curriculum =
      own.empty() ? entry->make(context, options, &own) : nullptr;
  violations->AddAll(own);
  return own.empty() ? std::move(curriculum) : nullptr;
}

MetricTable AllMetrics(const v1::ExperimentSpec& spec) {
  MetricTable all = methods::AllMetrics(spec.rule().name());
  const auto* entry = Registry<CurriculumEntry>::Instance().Find(spec.curriculum().name());
  if (spec.has_curriculum() && entry != nullptr)
    all.insert(all.end(), entry->metrics.begin(), entry->metrics.end());
  return all;
}

}  // namespace mentor::meta_learner
