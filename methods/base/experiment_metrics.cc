#include "methods/base/experiment_metrics.h"

#include "common/check.h"
#include "common/registry.h"
#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"

namespace mentor::meta_learner {

MetricTable AllMetrics(const RuleEntry& entry) {
  const learner::InnerLoopEntry* loop = learner::FindInnerLoop(entry.inner_loop);
  MENTOR_CHECK(loop != nullptr);
  MetricTable all = CommonMetrics();
  all.insert(all.end(), entry.metrics.begin(), entry.metrics.end());
  all.insert(all.end(), loop->metrics.begin(), loop->metrics.end());
  return all;
}

MetricTable AllMetrics(std::string_view rule) {
  const RuleEntry* entry = Registry<RuleEntry>::Instance().Find(rule);
  return entry == nullptr ? CommonMetrics() : AllMetrics(*entry);
}

}  // namespace mentor::meta_learner
