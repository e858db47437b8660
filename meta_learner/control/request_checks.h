// Checks that requests of the control API share, and the form of their answers. Not for specs
// (common/spec) and settings (settings.h). Pure functions; threads may share.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/status.h>

#include "common/hash.h"
#include "common/rpc/auth.h"
#include "common/spec/canonical.h"
#include "common/violations.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::meta_learner {

// As many violations as an answer carries, and how many more there are.
absl::Status ShortStatus(const Violations& violations);

// INVALID_ARGUMENT: the field holds this name; it has to be of that form.
absl::Status BadName(std::string_view field, std::string_view name, std::string_view form);

// PERMISSION_DENIED NOT_OWNER unless the caller may change this experiment.
absl::Status CheckOwner(const rpc::Caller& caller, const v1::Experiment& experiment);

void CheckRequestId(const std::string& request_id, Violations* violations);
void CheckExperimentId(const std::string& id, Violations* violations);

// Under which a repeated request is known again: another caller's is another request.
template <typename Request>
std::string HashOfRequest(const Request& request, const std::string& caller) {
  Request body = request;
  body.clear_request_id();
  return Sha256Hex(caller + "\n" + CanonicalText(body));
}

}  // namespace mentor::meta_learner
