#include "meta_learner/rules/outer_rule.h"

#include "common/registry.h"

namespace mentor::meta_learner {

const std::vector<const RuleEntry*>& OuterRules() {
  static const auto all = Registry<RuleEntry>::Instance().All();
  return all;
}

std::unique_ptr<OuterRule> MakeOuterRule(const RuleContext& context, Violations* violations) {
  const auto& registry = Registry<RuleEntry>::Instance();
  const RuleEntry* entry = registry.Find(context.spec.rule().name());
  if (entry == nullptr) {
    violations->Add("rule.name", registry.Unknown("outer rule", context.spec.rule().name()));
    return nullptr;
  }
  Violations own;
  const OptionValues options =
      OptionValues::Parse(entry->options, context.spec.rule().option(), "rule.option", &own);
  std::unique_ptr<OuterRule> rule = own.empty() ? entry->make(context, options, &own) : nullptr;
  for (const Violation& violation : own.list())
    violations->Add(violation.field, violation.description);
  return own.empty() ? std::move(rule) : nullptr;
}

RegisterRule::RegisterRule(RuleEntry entry) {
  Registry<RuleEntry>::Instance().Add(std::move(entry));
}

}  // namespace mentor::meta_learner
