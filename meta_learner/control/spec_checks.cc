#include "meta_learner/control/spec_checks.h"

#include <deque>
#include <set>
#include <string>
#include <utility>

#include "common/mutex.h"
#include "common/spec/spec.h"

namespace mentor::meta_learner {
namespace {

constexpr size_t kRemembered = 1024;

struct Memory {
  Mutex mutex;
  std::set<std::string> valid ABSL_GUARDED_BY(mutex);
  std::deque<std::string> order ABSL_GUARDED_BY(mutex);  // Oldest first.
};

}  // namespace

SpecCheck RememberValid(SpecCheck check) {
  return [check = std::move(check), memory = std::make_shared<Memory>()](
             const v1::ExperimentSpec& spec, Violations* violations) {
    v1::ExperimentSpec key = spec;
    key.clear_seed();
    const std::string hash = SpecHash(key);
    {
      const MutexLock lock(memory->mutex);
      if (memory->valid.contains(hash)) return;
    }
    Violations found;
    check(spec, &found);
    for (const Violation& violation : found.list())
      violations->Add(violation.field, violation.description);
    if (!found.empty()) return;
    const MutexLock lock(memory->mutex);
    if (!memory->valid.insert(hash).second) return;
    memory->order.push_back(hash);
    if (memory->order.size() <= kRemembered) return;
    memory->valid.erase(memory->order.front());
    memory->order.pop_front();
  };
}

}  // namespace mentor::meta_learner
