#include <algorithm>
#include <map>
#include <set>
#include <string>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/resources/states.h"
#include "common/status.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/control/request_checks.h"

namespace mentor::meta_learner {
namespace {

using S = v1::Experiment;

constexpr size_t kReasonBytesMax = 1000;
// The shortest time to live marks a deletion by force.
constexpr int32_t kDeletedAtEndNs = 1;

absl::Status IllegalTransition(const v1::Experiment& experiment, std::string_view verb) {
  return MakeError(Reason::kIllegalTransition,
                   absl::StrFormat("%s is %s; there is nothing to %s", experiment.name(),
                                   StateText(experiment.state()), verb),
                   {{"state", StateText(experiment.state())}, {"verb", std::string(verb)}});
}

// Moves the experiment to CANCELLED or CANCELLING. Returns false if it is already there or has
// ended otherwise.
bool Cancel(v1::Experiment* experiment) {
  switch (experiment->state()) {
    case S::STATE_QUEUED:
    case S::STATE_PAUSED:
      experiment->set_state(S::STATE_CANCELLED);
      return true;
    case S::STATE_RUNNING:
    case S::STATE_PAUSING:
      experiment->set_state(S::STATE_CANCELLING);
      return true;
    default:
      return false;
  }
}

// Changes the experiment with this name and etag in the store if the caller may change it. Then
// notifies the scheduler.
template <typename Named>
absl::StatusOr<v1::Experiment> Change(const ServiceOptions& options, const rpc::Caller& caller,
                                      const Named& named, const Records::Edit& edit) {
  auto changed = options.store->records.Change(
      named.name(), named.etag(), [&](v1::Experiment* experiment) -> absl::Status {
        MENTOR_RETURN_IF_ERROR(CheckOwner(caller, *experiment));
        return edit(experiment);
      });
  if (changed.ok()) options.operations->Look(*changed);
  return changed;
}

}  // namespace

bool IsDeletedAtEnd(const v1::Experiment& experiment) {
  const auto& ttl = experiment.retention().ttl();
  return ttl.seconds() == 0 && ttl.nanos() == kDeletedAtEndNs;
}

absl::StatusOr<v1::Experiment> UpdateExperiment(const ServiceOptions& options,
                                                const v1::UpdateExperimentRequest& request,
                                                const rpc::Caller& caller) {
  static const std::set<std::string> settable = {"display_name", "labels",   "priority",   "weight",
                                                 "retention",    "deadline", "retries_max"};
  Violations violations;
  std::set<std::string> paths;
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "*") {
      paths.insert(settable.begin(), settable.end());
    } else if (settable.contains(path)) {
      paths.insert(path);
    } else {
      violations.Add("update_mask",
                     absl::StrFormat("has '%s', which never changes; give some of %s",
                                     path.substr(0, 100), absl::StrJoin(settable, ", ")));
    }
  }
  if (request.update_mask().paths().empty())
    violations.Add("update_mask", "is empty; name the fields to change");
  v1::Experiment wanted = request.experiment();
  if (!paths.contains("deadline")) wanted.clear_deadline();  // It may have passed since it was set.
  CheckSettings(wanted, "experiment.", &violations);
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));
  return Change(options, caller, wanted, [&](v1::Experiment* experiment) {
    if (paths.contains("display_name")) experiment->set_display_name(wanted.display_name());
    if (paths.contains("labels")) *experiment->mutable_labels() = wanted.labels();
    if (paths.contains("priority")) {
      experiment->set_priority(wanted.priority() == v1::PRIORITY_UNSPECIFIED ? v1::PRIORITY_NORMAL
                                                                             : wanted.priority());
    }
    if (paths.contains("weight")) experiment->set_weight(std::max(1u, wanted.weight()));
    if (paths.contains("retention")) *experiment->mutable_retention() = wanted.retention();
    if (paths.contains("retries_max")) experiment->set_retries_max(wanted.retries_max());
    if (paths.contains("deadline")) {
      if (wanted.has_deadline()) {
        *experiment->mutable_deadline() = wanted.deadline();
      } else {
        experiment->clear_deadline();
      }
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Experiment> PauseExperiment(const ServiceOptions& options,
                                               const v1::PauseExperimentRequest& request,
                                               const rpc::Caller& caller) {
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("api.pause.before_state")));
  return Change(options, caller, request, [](v1::Experiment* experiment) -> absl::Status {
    switch (experiment->state()) {
      case S::STATE_QUEUED:
        experiment->set_state(S::STATE_PAUSED);
        break;
      case S::STATE_RUNNING:
        experiment->set_state(S::STATE_PAUSING);
        break;
      case S::STATE_PAUSING:
      case S::STATE_PAUSED:
        break;
      default:
        return IllegalTransition(*experiment, "pause");
    }
    // Overrides a pause for a full disk or a quota: only the user can resume the experiment now.
    experiment->set_pause_reason(S::PAUSE_REASON_USER);
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Experiment> ResumeExperiment(const ServiceOptions& options,
                                                const v1::ResumeExperimentRequest& request,
                                                const rpc::Caller& caller) {
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("api.resume.before_state")));
  std::map<std::string, OwnerUsage> usage;
  if (options.per_owner.checkpoint_bytes > 0) {
    MENTOR_ASSIGN_OR_RETURN(usage, options.store->records.Usage());
  }
  return Change(options, caller, request, [&](v1::Experiment* experiment) -> absl::Status {
    switch (experiment->state()) {
      case S::STATE_PAUSED:
        MENTOR_RETURN_IF_ERROR(options.operations->CheckRoom());
        // Otherwise every resume would let the experiment write until the scheduler's next quota
        // check.
        MENTOR_RETURN_IF_ERROR(CheckStorage(experiment->owner(), usage[experiment->owner()],
                                            options.per_owner.checkpoint_bytes));
        experiment->set_state(S::STATE_QUEUED);
        return absl::OkStatus();
      case S::STATE_QUEUED:
      case S::STATE_RUNNING:
        return absl::OkStatus();
      default:
        return IllegalTransition(*experiment, "resume");
    }
  });
}

absl::StatusOr<v1::Experiment> CancelExperiment(const ServiceOptions& options,
                                                const v1::CancelExperimentRequest& request,
                                                const rpc::Caller& caller) {
  if (request.reason().size() > kReasonBytesMax) {
    return BadName("reason", absl::StrFormat("%d bytes", request.reason().size()),
                   absl::StrFormat("at most %d bytes", kReasonBytesMax));
  }
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("api.cancel.before_state")));
  return Change(options, caller, request, [&](v1::Experiment* experiment) -> absl::Status {
    if (Cancel(experiment)) {
      experiment->clear_error();
      if (!request.reason().empty())
        *experiment->mutable_error() = StatusToProto(absl::CancelledError(request.reason()));
      return absl::OkStatus();
    }
    const bool cancelled =
        experiment->state() == S::STATE_CANCELLING || experiment->state() == S::STATE_CANCELLED;
    return cancelled ? absl::OkStatus() : IllegalTransition(*experiment, "cancel");
  });
}

absl::Status DeleteExperiment(const ServiceOptions& options,
                              const v1::DeleteExperimentRequest& request,
                              const rpc::Caller& caller) {
  if (request.force()) {
    const auto cancelled =
        Change(options, caller, request, [](v1::Experiment* experiment) -> absl::Status {
          Cancel(experiment);
          // The mark makes the scheduler delete the experiment at its end, even after a restart.
          if (experiment->state() == S::STATE_CANCELLING)
            experiment->mutable_retention()->mutable_ttl()->set_nanos(kDeletedAtEndNs);
          return absl::OkStatus();
        });
    if (absl::IsNotFound(cancelled.status()) && request.allow_missing()) return absl::OkStatus();
    MENTOR_RETURN_IF_ERROR(cancelled.status());
    if (cancelled->state() == S::STATE_CANCELLING) return absl::UnavailableError("on its way");
  }
  absl::Status status = options.store->records.DeleteIf(
      request.name(), request.force() ? "" : request.etag(),
      [&](const v1::Experiment& experiment) { return CheckOwner(caller, experiment); });
  if (absl::IsNotFound(status) && request.allow_missing()) return absl::OkStatus();
  return status;
}

}  // namespace mentor::meta_learner
