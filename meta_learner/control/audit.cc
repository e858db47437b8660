#include <cstddef>

#include "common/log.h"
#include "common/resources/names.h"
#include "meta_learner/control/calls.h"

namespace mentor::meta_learner {
namespace {

// Bytes logged of a name that a caller made up.
constexpr size_t kNameBytesMax = 200;

}  // namespace

void Audit(const rpc::Caller& caller, std::string_view method, std::string_view object,
           const absl::Status& outcome) {
  // Logs every change without rate limit: an audit log must be complete.
  const bool of_experiment = object.starts_with(kExperimentsPrefix) &&
                             object.find('/', kExperimentsPrefix.size()) == object.npos;
  if (of_experiment && outcome.ok()) {
    // This line also goes into the history of the experiment.
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
