#include "methods/base/all_metrics.h"

#include "common/registry.h"
#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"

namespace mentor::meta_learner {

MetricTable AllMetrics(const RuleEntry& entry) {
  MetricTable all = CommonMetrics();
  for (const MetricTable* more : {&entry.metrics, &LoopOf(entry).metrics})
    all.insert(all.end(), more->begin(), more->end());
  return all;
}

MetricTable AllMetrics(std::string_view rule) {
  const RuleEntry* entry = Registry<RuleEntry>::Instance().Find(rule);
  return entry == nullptr ? CommonMetrics() : AllMetrics(*entry);
}

}  // namespace mentor::meta_learner
