#include "meta_learner/control/spec_checks.h"

#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "common/spec.h"

namespace mentor::meta_learner {
namespace {

constexpr size_t kRemembered = 1024;

struct Memory {
  std::mutex mutex;
  std::set<std::string> valid;
  std::deque<std::string> order;  // Oldest first.
};

}  // namespace

SpecCheck RememberValid(SpecCheck check) {
  return [check = std::move(check), memory = std::make_shared<Memory>()](
             const v1::ExperimentSpec& spec, Violations* violations) {
    v1::ExperimentSpec key = spec;
    key.clear_seed();
    const std::string hash = SpecHash(key);
    {
      const std::lock_guard lock(memory->mutex);
      if (memory->valid.contains(hash)) return;
    }
    Violations found;
    check(spec, &found);
    for (const Violation& violation : found.list())
      violations->Add(violation.field, violation.description);
    if (!found.empty()) return;
    const std::lock_guard lock(memory->mutex);
    if (!memory->valid.insert(hash).second) return;
    memory->order.push_back(hash);
    if (memory->order.size() <= kRemembered) return;
    memory->valid.erase(memory->order.front());
    memory->order.pop_front();
  };
}

}  // namespace mentor::meta_learner
