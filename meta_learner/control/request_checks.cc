#include "meta_learner/control/request_checks.h"

#include <absl/strings/str_format.h>

#include "common/resources/names.h"
#include "common/status.h"
#include "common/uuid.h"

namespace mentor::meta_learner {
namespace {

// Bytes of the violations in one answer, since HTTP/2 trailers must be short.
constexpr size_t kViolationBytesMax = 1500;

}  // namespace

absl::Status ShortStatus(const Violations& violations) {
  Violations shown;
  size_t bytes = 0;
  for (const Violation& violation : violations.list()) {
    bytes += violation.field.size() + violation.description.size() + 8;
    if (bytes > kViolationBytesMax && !shown.empty()) {
      shown.Add("experiment", absl::StrFormat("has %d more violations; mend these first",
                                              violations.list().size() - shown.list().size()));
      break;
    }
    shown.Add(violation.field, violation.description.substr(0, kViolationBytesMax));
  }
  return ToStatus(shown);
}

absl::Status BadName(std::string_view field, std::string_view name, std::string_view form) {
  return BadField(
      std::string(field),
      absl::StrFormat("is '%s'; give %s", std::string(name.substr(0, 100)), std::string(form)));
}

absl::Status NotOwner(const rpc::Caller& caller, std::string_view name, const std::string& owner,
                      std::string_view remedy) {
  return MakeError(Reason::kNotOwner,
                   absl::StrFormat("%s belongs to '%s', not to '%s'; ask its owner, or a user with "
                                   "the role admin%s",
                                   name, owner, caller.name, remedy),
                   {{"owner", owner}, {"caller", caller.name}});
}

absl::Status CheckOwner(const rpc::Caller& caller, const v1::Experiment& experiment) {
  if (caller.MayChange(experiment.owner())) return absl::OkStatus();
  return NotOwner(caller, experiment.name(), experiment.owner(), ", or clone it");
}

void CheckRequestId(const std::string& request_id, Violations* violations) {
  if (!request_id.empty() && !IsUuid(request_id)) {
    violations->Add("request_id",
                    absl::StrFormat("is '%s'; give a UUID", request_id.substr(0, 100)));
  }
}

void CheckExperimentId(const std::string& id, Violations* violations) {
  if (!id.empty() && !IsExperimentId(id)) {
    violations->Add("experiment_id",
                    absl::StrFormat("is '%s'; give a letter, then letters, digits and dashes, all "
                                    "lower case, at most 63, no dash at the end",
                                    id.substr(0, 100)));
  }
}

}  // namespace mentor::meta_learner
