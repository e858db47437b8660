// What the meta-learner remembers: experiments, answered requests, metrics, and an index of
// checkpoints. A change that was answered with OK survives kill -9. One process owns a state
// folder. Thread-safe.
//
//   STATE/                  mode 0700
//     LOCK                  flock: one process at a time
//     FORMAT                "mentor-state 1"
//     mentor.db -wal -shm   SQLite
//     experiments/UID/      made by Create; from its first run on:
//       spec.txtpb          as submitted
//       merged.txtpb        with every default
//       checkpoints/        meta_learner/checkpoint.h
//       artifacts/          reports and tables
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/experiment.pb.h"
#include "meta_learner/checkpoint.h"

namespace mentor::meta_learner {

using State = v1::Experiment::State;

// True for CANCELLED, SUCCEEDED and FAILED.
bool IsFinal(State state);
// The arrows of the state machine; the table stands in the .cc.
bool IsLegalTransition(State from, State to);
std::string_view StateText(State state);  // "RUNNING"

struct NewExperiment {
  // As submitted, already checked. The store keeps it with every default written out.
  v1::ExperimentSpec spec;
  // Empty: the store makes one.
  std::string id = {};
  // Empty: not idempotent.
  std::string request_id = {};
  // Of the request without its id: another one under the same id is refused.
  std::string request_hash = {};
};

struct ExperimentPage {
  std::vector<v1::Experiment> experiments;  // By name.
  std::string next_page_token;              // Empty on the last page.
};

// What one outer update leaves behind.
struct OuterStep {
  // Outer updates done.
  uint32_t step = 0;
  // The same in every replay; a difference is counted and logged.
  std::map<std::string, double> results = {};
  // Seconds and rates: may differ.
  std::map<std::string, double> timings = {};
  // Written and synced before.
  std::optional<CheckpointInfo> checkpoint = {};
  v1::Progress progress = {};
};

using Series = std::vector<std::pair<uint32_t, double>>;  // (step, value) by step.

class ExperimentStore {
 public:
  virtual ~ExperimentStore() = default;

  // QUEUED. A known request_id with the same hash gets its first answer again.
  virtual absl::StatusOr<v1::Experiment> Create(const NewExperiment& experiment) = 0;
  // Names are "experiments/{id}". Answers carry activity and progress as last set.
  virtual absl::StatusOr<v1::Experiment> Get(std::string_view name) = 0;
  virtual absl::StatusOr<ExperimentPage> List(int page_size, std::string_view page_token) = 0;
  // Oldest first: the order of the queue, and what to go on with after a start.
  virtual absl::StatusOr<std::vector<v1::Experiment>> InStates(const std::set<State>& states) = 0;

  virtual absl::StatusOr<std::map<State, int64_t>> CountByState() = 0;

  // Atomic: from one of `from`, else FAILED_PRECONDITION with the state it is in. Sets start and
  // end times. `error` is kept for FAILED and PAUSED and cleared otherwise.
  virtual absl::StatusOr<v1::Experiment> Transition(std::string_view name,
                                                    const std::set<State>& from, State to,
                                                    std::string_view error = "") = 0;
  // Shown and watched, written with the next change that is durable.
  virtual absl::Status SetProgress(std::string_view name, std::string_view activity,
                                   const v1::Progress& progress) = 0;

  // One transaction: points, checkpoint row, progress. Only for RUNNING and CANCELLING experiments.
  virtual absl::Status RecordOuterStep(std::string_view uid, const OuterStep& step) = 0;
  // Points outside of outer updates, for instance of an evaluation. Same rules of replay.
  virtual absl::Status RecordPoints(std::string_view uid, uint32_t step,
                                    const std::map<std::string, double>& results,
                                    const std::map<std::string, double>& timings) = 0;
  // All metrics by name.
  virtual absl::StatusOr<std::map<std::string, Series>> Points(std::string_view uid) = 0;

  // Rows of checkpoints, by step. Paths are those of this state folder.
  virtual absl::StatusOr<std::vector<CheckpointInfo>> Checkpoints(std::string_view uid) = 0;
  // The index after a scan or retention: rows of other steps go, `infos` are added.
  virtual absl::Status ReconcileCheckpoints(std::string_view uid,
                                            const std::vector<uint32_t>& steps_present,
                                            const std::vector<CheckpointInfo>& infos) = 0;

  // Calls back with the name after each change (also of progress), from the thread that made it and
  // without locks; the callback must be quick. It is not called any more once the subscription is
  // gone.
  class Subscription {
   public:
    virtual ~Subscription() = default;
  };
  using ChangeCallback = std::function<void(const std::string& name)>;
  virtual std::unique_ptr<Subscription> Subscribe(ChangeCallback callback) = 0;

  virtual std::filesystem::path ExperimentFolder(std::string_view uid) const = 0;
  std::filesystem::path CheckpointFolder(std::string_view uid) const {
    return ExperimentFolder(uid) / "checkpoints";
  }

  // Results that a replay computed differently: exactness is broken when this is not 0.
  virtual uint64_t replay_mismatches() const = 0;
};

// Opens or creates the state folder; one that holds something else is refused. FAILED_PRECONDITION
// IN_USE when another process uses it, TOO_NEW when a newer program wrote it; `error` tells which,
// for exit codes.
enum class OpenError { kNone, kInUse, kTooNew, kOther };
absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStore(
    const std::filesystem::path& state_folder, OpenError* error = nullptr);

}  // namespace mentor::meta_learner
