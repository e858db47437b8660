#include "meta_learner/control/audit.h"

#include <cstddef>
#include <string>

#include "common/log.h"
#include "common/resources/names.h"

namespace mentor::meta_learner {
namespace {

// Of a name that a caller made up.
constexpr size_t kNameBytesMax = 200;

}  // namespace

void Audit(const rpc::Caller& caller, std::string_view method, std::string_view object,
           const absl::Status& outcome) {
  // Each of them, however many: a line that was left out would be the one that is asked for.
  const bool of_experiment = object.starts_with(kExperimentsPrefix) &&
                             object.find('/', kExperimentsPrefix.size()) == object.npos;
  if (of_experiment && outcome.ok()) {
    // For the history of the experiment too.
    MENTOR_LOG_FOR("audit", kInfo, "change",
                   {{"who", caller.name},
                    {"role", caller.everything ? "everything" : rpc::RoleName(caller.role)},
                    {"method", method},
                    {"object", object},
                    {"outcome", outcome},
                    {"experiment", object},
                    {"event", "changed"}});
    return;
  }
  MENTOR_LOG_FOR("audit", kInfo, "change",
                 {{"who", caller.name},
                  {"role", caller.everything ? "everything" : rpc::RoleName(caller.role)},
                  {"method", method},
                  {"object", object.substr(0, kNameBytesMax)},
                  {"outcome", outcome}});
}

}  // namespace mentor::meta_learner
