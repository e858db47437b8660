#include "meta_learner/control/spec_checks.h"

#include "common/spec/spec.h"

namespace mentor::meta_learner {

std::string SpecKey(const v1::ExperimentSpec& spec) {
  v1::ExperimentSpec key = spec;
  key.clear_seed();
  return SpecHash(key);
}

SpecCheck RememberValid(SpecCheck check) {
  struct Nothing {};
  return [check = std::move(check), valid = std::make_shared<SpecCache<Nothing>>()](
             const v1::ExperimentSpec& spec, Violations* violations) {
    const std::string key = SpecKey(spec);
    if (valid->Find(key)) return;
    Violations found;
    check(spec, &found);
    for (const Violation& violation : found.list())
      violations->Add(violation.field, violation.description);
    if (found.empty()) valid->Add(key, {});
  };
}

}  // namespace mentor::meta_learner
