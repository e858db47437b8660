// Checks that requests of the control API share, and the form of their errors. Specs are checked in
// common/spec. Pure functions; thread-safe.
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

// Returns as many violations as fit into an answer, and the number of the others.
absl::Status ShortStatus(const Violations& violations);

// Returns INVALID_ARGUMENT: the field holds `name`, which must have the form `form`.
absl::Status BadName(std::string_view field, std::string_view name, std::string_view form);

// Returns PERMISSION_DENIED NOT_OWNER. `remedy`: what the caller may do besides asking.
absl::Status NotOwner(const rpc::Caller& caller, std::string_view name, const std::string& owner,
                      std::string_view remedy = "");
// Returns NotOwner unless the caller may change this experiment.
absl::Status CheckOwner(const rpc::Caller& caller, const v1::Experiment& experiment);

void CheckRequestId(const std::string& request_id, Violations* violations);
void CheckExperimentId(const std::string& id, Violations* violations);

// Checks what a user may set beside the spec (settings.cc): labels, priority, weight, retention,
// deadline, retries_max and display_name. `prefix` goes before the names of fields: "experiment.".
void CheckSettings(const v1::Experiment& experiment, std::string_view prefix,
                   Violations* violations);

// Returns a hash that identifies a repeated request. Requests of different callers differ.
template <typename Request>
std::string HashOfRequest(const Request& request, const std::string& caller) {
  Request body = request;
  body.clear_request_id();
  return Sha256Hex(caller + "\n" + CanonicalText(body));
}

}  // namespace mentor::meta_learner
