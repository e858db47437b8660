#include "meta_learner/control/creation.h"

#include <chrono>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/log.h"
#include "common/pause_point.h"
#include "common/resources/names.h"
#include "common/spec/named_bundles.h"
#include "common/status.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/control/request_checks.h"

namespace mentor::meta_learner {
namespace {

// Retry delay for callers where waiting helps, since the queue moves slowly.
constexpr auto kRetryLater = std::chrono::seconds(30);

absl::StatusOr<Checkpoint> ReadSource(RunFiles* files,
                                      const std::pair<v1::Experiment, CheckpointRow>& source,
                                      const std::atomic<bool>* cancel) {
  MENTOR_ASSIGN_OR_RETURN(
      const std::filesystem::path file,
      files->OpenCheckpoint(source.first.uid(), source.second.outer_step, cancel));
  return ReadCheckpointOf(file, {.spec_hash = SpecHash(source.first.spec()),
                                 .state_hash = source.second.state_hash,
                                 .sha256 = source.second.sha256});
}

}  // namespace

absl::Status ExperimentCreation::CheckRoom(const std::string& owner) {
  MENTOR_RETURN_IF_ERROR(options_.operations->CheckRoom());
  MENTOR_ASSIGN_OR_RETURN(const auto counts, options_.store->records.CountByState());
  // Paused experiments count as queued, since they may be queued again at any time. So a resume
  // needs no room, and a pause frees none.
  int64_t waiting = 0;
  for (const State state : {v1::Experiment::STATE_QUEUED, v1::Experiment::STATE_PAUSED}) {
    const auto count = counts.find(state);
    if (count != counts.end()) waiting += count->second;
  }
  if (waiting >= options_.queued_max) {
    return WithRetryDelay(
        MakeError(Reason::kQueueFull,
                  absl::StrFormat("%d experiments are in the queue or paused already, at most %d "
                                  "are allowed; try again when some have ended, or cancel some",
                                  waiting, options_.queued_max)),
        kRetryLater);
  }
  if (options_.per_owner.queued == 0 && options_.per_owner.checkpoint_bytes == 0)
    return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(const auto usage, options_.store->records.Usage());
  const auto own = usage.find(owner);
  if (own == usage.end()) return absl::OkStatus();
  if (options_.per_owner.queued > 0 && own->second.waiting >= options_.per_owner.queued) {
    return WithRetryDelay(
        MakeError(Reason::kQuotaExceeded,
                  absl::StrFormat("'%s' has %d experiments in the queue or paused, at most %d are "
                                  "allowed; wait, or cancel some",
                                  owner, own->second.waiting, options_.per_owner.queued),
                  {{"owner", owner}}),
        kRetryLater);
  }
  const absl::Status storage =
      CheckStorage(owner, own->second, options_.per_owner.checkpoint_bytes);
  return storage.ok() ? storage : WithRetryDelay(storage, kRetryLater);
}

absl::Status ExperimentCreation::CheckFleet(const v1::ExperimentSpec& spec,
                                            const std::string& prefix) {
  Violations large, violations;
  options_.specs->CheckFleet(spec, &large);
  // An interrupted check found no violations, so report the interruption.
  if (const absl::Status status = PausePoint(); !status.ok())
    large.Add("benchmark", std::string(status.message()));
  violations.AddAll(large, prefix);
  return ShortStatus(violations);
}

absl::StatusOr<std::unique_ptr<BundleShelf::Turn>> ExperimentCreation::HoldBundles(
    const v1::ExperimentSpec& spec) {
  auto digests = BundlesOf(spec);
  if (digests.empty() || options_.bundles == nullptr) return nullptr;
  auto turn = std::make_unique<BundleShelf::Turn>(options_.bundles, std::move(digests));
  MENTOR_RETURN_IF_ERROR(options_.bundles->Check(*turn));
  return turn;
}

absl::StatusOr<v1::Experiment> ExperimentCreation::Submit(const NewExperiment& submitted,
                                                          const absl::Status& fits) {
  absl::StatusOr<v1::Experiment> experiment;
  {
    // The turn keeps others from removing these bundles meanwhile. Take it before mutex_, so that a
    // wait for bundles does not block other creations.
    MENTOR_ASSIGN_OR_RETURN(const auto bundles, HoldBundles(submitted.experiment.spec()));
    const MutexLock lock(mutex_);
    const absl::Status room = fits.ok() ? CheckRoom(submitted.owner) : fits;
    // A repeated request gets its first answer, even without room.
    if (!room.ok() && submitted.request_id.empty()) return room;
    if (!room.ok()) {
      MENTOR_ASSIGN_OR_RETURN(std::optional<v1::Experiment> answer,
                              options_.store->records.Answered(submitted));
      if (!answer) return room;
      return *std::move(answer);
    }
    experiment = options_.store->records.Create(submitted);
  }
  if (experiment.ok()) options_.operations->Look(*experiment);
  return experiment;
}

absl::StatusOr<v1::Experiment> ExperimentCreation::Create(
    const v1::CreateExperimentRequest& request, const std::string& owner) {
  // Check the bundles first: the meaning of a spec depends on them.
  if (request.experiment().spec().ByteSizeLong() <= kSpecBytesMax) {
    MENTOR_RETURN_IF_ERROR(HoldBundles(request.experiment().spec()).status());
  }
  Violations violations;
  CheckExperimentId(request.experiment_id(), &violations);
  CheckRequestId(request.request_id(), &violations);
  CheckSettings(request.experiment(), "experiment.", &violations);
  if (!request.experiment().has_spec()) {
    violations.Add("experiment.spec", "is missing; set it");
  } else if (request.experiment().spec().ByteSizeLong() > kSpecBytesMax) {
    violations.Add("experiment.spec",
                   absl::StrFormat("has %d bytes; give at most %d",
                                   request.experiment().spec().ByteSizeLong(), kSpecBytesMax));
  } else {
    Violations of_spec;
    CheckSpec(request.experiment().spec(), &of_spec, check_parts_);
    violations.AddAll(of_spec, "experiment.spec.");
  }
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));

  const v1::ExperimentSpec whole = WithDefaults(request.experiment().spec());
  const absl::Status fits = CheckFleet(whole, "experiment.spec.");
  if (request.validate_only()) {
    MENTOR_RETURN_IF_ERROR(fits);
    if (!request.experiment_id().empty()) {
      const std::string name = ExperimentName(request.experiment_id());
      if (options_.store->records.Get(name).ok()) {
        return MakeError(
            Reason::kAlreadyExists,
            absl::StrFormat("%s exists already; choose another id, or leave it out", name),
            {{"name", name}});
      }
    }
    MENTOR_RETURN_IF_ERROR(CheckRoom(owner));
    v1::Experiment experiment = request.experiment();
    *experiment.mutable_spec() = whole;
    experiment.clear_memory_needs();
    experiment.clear_warnings();
    experiment.clear_reported_numbers();
    options_.specs->Describe(experiment.spec(), &experiment);
    experiment.clear_name();
    experiment.clear_uid();
    return experiment;
  }
  return Submit({.experiment = request.experiment(),
                 .id = request.experiment_id(),
                 .owner = owner,
                 .request_id = request.request_id(),
                 .request_hash = HashOfRequest(request, owner)},
                fits);
}

absl::StatusOr<v1::Experiment> ExperimentCreation::Clone(const v1::CloneExperimentRequest& request,
                                                         const std::string& owner,
                                                         const std::atomic<bool>* cancel) {
  Violations violations;
  CheckExperimentId(request.experiment_id(), &violations);
  CheckRequestId(request.request_id(), &violations);
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));
  NewExperiment submitted{.experiment = {},
                          .id = request.experiment_id(),
                          .owner = owner,
                          .request_id = request.request_id(),
                          .request_hash = HashOfRequest(request, owner)};
  // Check for a repeated request first: its source may be gone by now.
  MENTOR_ASSIGN_OR_RETURN(std::optional<v1::Experiment> answer,
                          options_.store->records.Answered(submitted));
  if (answer) return *std::move(answer);
  MENTOR_ASSIGN_OR_RETURN(const auto source,
                          FindCheckpoint(&options_.store->records, &options_.store->results,
                                         request.source_checkpoint(), "source_checkpoint"));
  const v1::Experiment& experiment = source.first;
  const std::vector<std::string> overrides(request.spec_overrides().begin(),
                                           request.spec_overrides().end());
  v1::ExperimentSpec spec = experiment.spec();
  if (CompleteSpec(overrides, &spec, &violations)) CheckSpec(spec, &violations, check_parts_);
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));
  const v1::ExperimentSpec whole = WithDefaults(spec);
  auto read = ReadSource(&options_.store->files, source, cancel);
  if (absl::IsNotFound(read.status()) || absl::IsDataLoss(read.status())) {
    MENTOR_LOG(kWarning, "a checkpoint that is to be cloned cannot be read",
               {{"experiment", experiment.name()}, {"why", read.status()}});
    violations.Add(
        "source_checkpoint",
        absl::StrFormat("is %s, whose file is missing or damaged; give another checkpoint",
                        request.source_checkpoint()));
    return ToStatus(violations);
  }
  MENTOR_ASSIGN_OR_RETURN(Checkpoint checkpoint, std::move(read));
  options_.specs->CheckCheckpoint(experiment.spec(), whole, checkpoint, &violations);
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));
  checkpoint.spec_hash = SpecHash(spec);

  v1::Experiment& fresh = submitted.experiment;
  *fresh.mutable_spec() = spec;
  fresh.set_display_name(experiment.display_name());
  *fresh.mutable_labels() = experiment.labels();
  fresh.set_priority(experiment.priority());
  fresh.set_weight(experiment.weight());
  if (experiment.has_retention()) *fresh.mutable_retention() = experiment.retention();
  if (IsDeletedAtEnd(experiment)) fresh.mutable_retention()->clear_ttl();
  fresh.set_retries_max(experiment.retries_max());
  fresh.set_source_checkpoint(request.source_checkpoint());
  submitted.fill_folder = [&](const std::string& uid, const std::filesystem::path& folder) {
    checkpoint.experiment_uid = uid;
    return WriteCheckpoint(folder / "checkpoints", checkpoint).status();
  };
  return Submit(submitted, CheckFleet(whole, /*prefix=*/""));
}

}  // namespace mentor::meta_learner
