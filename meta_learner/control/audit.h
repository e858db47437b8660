// Audit log: one line for each change that a caller asked for, done or refused. The logger is
// "audit", so that these lines can be collected separately (docs/security.md#audit). Excludes what
// the service does by itself, and calls refused before a service saw them. Functions; threads may
// share.
#pragma once

#include <string_view>
#include <type_traits>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/history.h"
#include "common/resources/states.h"
#include "common/rpc/auth.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::meta_learner {

// `object` is the name of the resource to change; empty if the call had to make the name.
void Audit(const rpc::Caller& caller, std::string_view method, std::string_view object,
           const absl::Status& outcome);

// Audits a call by its answer, and returns the answer. If the answer has a name, that name is the
// object.
template <typename Response>
absl::StatusOr<Response> Audited(const rpc::Caller& caller, std::string_view method,
                                 std::string_view object, absl::StatusOr<Response> answer) {
  if constexpr (requires(const Response& made) { made.name(); }) {
    if (answer.ok()) object = answer->name();
  }
  Audit(caller, method, object, answer.status());
  if constexpr (std::is_same_v<Response, v1::Experiment>) {
    if (answer.ok()) {
      MENTOR_HISTORY("acknowledged", {{"method", method},
                                      {"experiment", answer->name()},
                                      {"uid", answer->uid()},
                                      {"etag", answer->etag()},
                                      {"state", StateText(answer->state())}});
    }
  }
  return answer;
}

}  // namespace mentor::meta_learner
