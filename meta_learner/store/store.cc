#include "meta_learner/store/store.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/status.h"

namespace mentor::meta_learner {

absl::Status CheckEtag(std::string_view name, std::string_view expected, std::string_view found) {
  if (expected.empty() || expected == found) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kAborted, Reason::kEtagMismatch,
      absl::StrFormat("%s has changed in between; read it again, then repeat", name),
      {{"expected", std::string(expected.substr(0, 100))}, {"found", std::string(found)}});
}

absl::Status CheckStorage(std::string_view owner, const OwnerUsage& usage, int64_t bytes_max) {
  if (bytes_max == 0 || usage.checkpoint_bytes < bytes_max) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kResourceExhausted, Reason::kQuotaExceeded,
      absl::StrFormat("'%s' has %d bytes of checkpoints, %d are allowed; delete experiments "
                      "(mentorctl delete NAME), or ask for a larger --max_storage_per_owner_gb",
                      owner, usage.checkpoint_bytes, bytes_max),
      {{"owner", std::string(owner)}});
}

absl::StatusOr<v1::Experiment> ExperimentStore::Transition(std::string_view name,
                                                           const std::set<State>& from, State to,
                                                           const absl::Status& error) {
  for (const State state : from) MENTOR_CHECK(IsLegalTransition(state, to));
  return Change(name, "", [&](v1::Experiment* experiment) -> absl::Status {
    if (!from.contains(experiment->state())) {
      const std::string allowed = absl::StrJoin(
          from, ", ", [](std::string* out, State state) { out->append(StateText(state)); });
      return MakeError(
          absl::StatusCode::kFailedPrecondition, Reason::kIllegalTransition,
          absl::StrFormat("%s is %s; it can become %s only from %s", experiment->name(),
                          StateText(experiment->state()), StateText(to), allowed),
          {{"state", std::string(StateText(experiment->state()))},
           {"verb", std::string(StateText(to))}});
    }
    experiment->set_state(to);
    if (!error.ok()) *experiment->mutable_error() = StatusToProto(error);
    return absl::OkStatus();
  });
}

}  // namespace mentor::meta_learner
