// The meta-learner's store: experiments, answered requests, changes, metrics, and an index of
// checkpoints. A change that was answered with OK survives kill -9. One process owns a state
// folder. With PostgreSQL several may share it: one leads (lease.h) and the others read.
// Thread-safe.
//
//   STATE/                  mode 0700
//     LOCK                  flock: one process at a time, or those of one PostgreSQL database
//     STORE                 with PostgreSQL: the identity of the store that the folder belongs to
//     FORMAT                "mentor-state 1"
//     mentor.db -wal -shm   SQLite, unless the database is elsewhere (Options.database)
//     reserve               keeps room for deletions on a full disk (scheduling/disk_guard.h)
//     experiments/UID/      made by Create:
//       experiment.txtpb    name, owner, settings and spec as created, for Reindex
//                           from its first run on:
//       spec.txtpb          as submitted
//       merged.txtpb        with every default
//       checkpoints/        meta_learner/store/checkpoint.h
//       log.jsonl           log lines about it
//     bundles/              meta_learner/store/bundle_shelf.h
#pragma once

#include <atomic>
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
#include "meta_learner/objects/object_store.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/state.h"

namespace mentor::meta_learner {

// Owner of experiments created without credentials.
inline constexpr std::string_view kLocalOwner = "local";

struct NewExperiment {
  // The submitted and checked spec, and the settings beside it. The store also keeps the spec with
  // every default.
  v1::Experiment experiment;
  // Empty: the store makes one.
  std::string id = {};
  std::string owner = std::string(kLocalOwner);
  // Empty: not idempotent.
  std::string request_id = {};
  // Hash of the request without its id: a different request with the same id is refused.
  std::string request_hash = {};
  // Puts files into the experiment's folder before the experiment becomes visible.
  std::function<absl::Status(const std::string& uid, const std::filesystem::path& folder)>
      fill_folder = {};
};

// Returns a new experiment with a spec only.
inline NewExperiment WithSpec(const v1::ExperimentSpec& spec, const std::string& id = "") {
  NewExperiment experiment{.experiment = {}, .id = id};
  *experiment.experiment.mutable_spec() = spec;
  return experiment;
}

// Returns ABORTED unless `expected` is empty or equals `found`.
absl::Status CheckEtag(std::string_view name, std::string_view expected, std::string_view found);

struct ListQuery {
  int page_size = 0;  // As requested.
  std::string page_token = {};
  std::function<bool(const v1::Experiment&)> matches = {};  // None: all.
  std::string order_by = {};                                // As in ListExperiments.
  std::string key = {};  // Filter and order: a page token with another key is refused.
};

struct ExperimentPage {
  std::vector<v1::Experiment> experiments;
  std::string next_page_token;  // Empty on the last page.
  int64_t total_size = 0;
  int64_t revision = 0;  // Revision of the store when the page was read.
};

// Results of one outer update.
struct OuterStep {
  // Outer updates done.
  uint32_t step = 0;
  // Equal in every replay; a difference is counted and logged.
  std::map<std::string, double> results = {};
  // Seconds and rates; may differ in a replay.
  std::map<std::string, double> timings = {};
  // Must be written and synced already.
  std::optional<CheckpointInfo> checkpoint = {};
  v1::Progress progress = {};
  uint64_t served_env_steps = 0;  // Computed since the last step.
};

using Series = std::vector<std::pair<uint32_t, double>>;  // (step, value) by step.

struct CheckpointRow : CheckpointInfo {
  int64_t create_time_ns = 0;  // Unix time.
  bool pinned = false;
};

// One change of one experiment.
struct StoreEvent {
  enum class Kind { kCreated = 1, kUpdated = 2, kDeleted = 3 };
  int64_t revision = 0;
  Kind kind = Kind::kUpdated;
  v1::Experiment experiment;  // After the change.
};

// The head of one line of the queue.
struct QueueHead {
  v1::Priority priority = v1::PRIORITY_NORMAL;
  std::string owner;
  std::string name;
  int64_t number = 0;  // Order of creation.
};

// Usage of one owner.
struct OwnerUsage {
  int64_t waiting = 0;  // QUEUED or PAUSED.
  int64_t queued = 0;   // QUEUED only.
  int64_t running = 0;
  int64_t checkpoint_bytes = 0;
};
// Returns QUOTA_EXCEEDED when the owner's checkpoints take bytes_max or more; 0: no limit.
absl::Status CheckStorage(std::string_view owner, const OwnerUsage& usage, int64_t bytes_max);

class ExperimentStore {
 public:
  virtual ~ExperimentStore() = default;

  // ---- Experiments. Names are "experiments/{id}". Answers carry activity and progress as last
  // set.

  // Creates a QUEUED experiment. A known request_id with the same hash gets its first answer again.
  virtual absl::StatusOr<v1::Experiment> Create(const NewExperiment& experiment) = 0;
  // Returns the answer that Create would repeat; nullopt when the request is new.
  virtual absl::StatusOr<std::optional<v1::Experiment>> Answered(
      const NewExperiment& experiment) = 0;
  virtual absl::StatusOr<v1::Experiment> Get(std::string_view name) = 0;
  virtual absl::StatusOr<ExperimentPage> List(const ListQuery& query) = 0;
  // Returns the experiments in these states, oldest first.
  virtual absl::StatusOr<std::vector<v1::Experiment>> InStates(const std::set<State>& states) = 0;
  virtual absl::StatusOr<std::map<State, int64_t>> CountByState() = 0;

  // Edits an experiment in one transaction. `edit` may change user settings, the state (by a legal
  // transition), error, pause_reason, retries, preemptions and served_env_steps. If `edit` returns
  // an error, Change returns it and changes nothing. An edit without changes writes nothing. Sets
  // the times. A non-empty etag must be the current one, else returns ABORTED ETAG_MISMATCH. The
  // error is kept on the way to FAILED, CANCELLED and QUEUED, and during a pause for the owner's
  // storage quota.
  using Edit = std::function<absl::Status(v1::Experiment*)>;
  virtual absl::StatusOr<v1::Experiment> Change(std::string_view name, std::string_view etag,
                                                const Edit& edit) = 0;
  // Changes the state from one of `from`. Otherwise returns FAILED_PRECONDITION ILLEGAL_TRANSITION
  // with the current state.
  absl::StatusOr<v1::Experiment> Transition(std::string_view name, const std::set<State>& from,
                                            State to, const absl::Status& error = {});
  // Removes an experiment in a final state, then its files.
  absl::Status Delete(std::string_view name, std::string_view etag) {
    return DeleteIf(name, etag, nullptr);
  }
  // The same if `check` returns OK; returns its error otherwise. Null: no check.
  using Check = std::function<absl::Status(const v1::Experiment&)>;
  virtual absl::Status DeleteIf(std::string_view name, std::string_view etag,
                                const Check& check) = 0;
  // Removes the files of interrupted deletions.
  virtual absl::Status FinishDeletions() = 0;

  // Makes the folders and writes the specs of an experiment that is about to run.
  virtual absl::Status PrepareFolder(std::string_view uid) = 0;
  // Sets activity and progress. Readers and watchers see them at once; the next durable change
  // writes them.
  virtual absl::Status SetProgress(std::string_view name, std::string_view activity,
                                   const v1::Progress& progress) = 0;

  // ---- The queue.

  // Returns the oldest QUEUED experiment of each class and owner, oldest first. Skips the names in
  // `except`.
  virtual absl::StatusOr<std::vector<QueueHead>> QueueHeads(
      const std::set<std::string>& except = {}) = 0;
  virtual absl::StatusOr<std::map<std::string, OwnerUsage>> Usage() = 0;
  // Returns experiments that have not ended, with a deadline before `now_ns` (Unix time).
  virtual absl::StatusOr<std::vector<v1::Experiment>> PastDeadline(int64_t now_ns) = 0;
  // Returns ended experiments with an expire_time before `now_ns`.
  virtual absl::StatusOr<std::vector<v1::Experiment>> Expired(int64_t now_ns) = 0;

  // ---- Changes.

  struct Snapshot {
    int64_t revision = 0;
    std::vector<v1::Experiment> experiments;  // By name.
  };
  // Returns all experiments, or the named ones, at one moment.
  virtual absl::StatusOr<Snapshot> ReadSnapshot(const std::set<std::string>& names) = 0;
  // Returns the changes after a revision, in order. Returns OUT_OF_RANGE WATCH_COMPACTED when they
  // are no longer kept, or the revision is not of this store.
  virtual absl::StatusOr<std::vector<StoreEvent>> Events(int64_t after_revision, int limit) = 0;
  virtual absl::StatusOr<int64_t> Revision() = 0;
  // Drops all but the newest `keep` events, and events older than an age.
  virtual absl::Status CompactEvents(int64_t keep, int64_t older_than_ns) = 0;
  // Identity of this store: tokens of another store are refused.
  virtual const std::string& store_uid() const = 0;

  // ---- What an experiment produces.

  // Writes points, checkpoint row and progress in one transaction. Only for experiments at work
  // (RUNNING, PAUSING or CANCELLING).
  virtual absl::Status RecordOuterStep(std::string_view uid, const OuterStep& step) = 0;
  // Writes points outside of outer updates, for instance of an evaluation. The rules of replay
  // apply.
  virtual absl::Status RecordPoints(std::string_view uid, uint32_t step,
                                    const std::map<std::string, double>& results,
                                    const std::map<std::string, double>& timings) = 0;
  // Returns the points of steps in [step_min, step_max], by metric name. No names: all metrics.
  virtual absl::StatusOr<std::map<std::string, Series>> Points(
      std::string_view uid, const std::set<std::string>& metrics = {}, uint32_t step_min = 0,
      uint32_t step_max = UINT32_MAX) = 0;

  // Returns the rows of checkpoints, by step. Paths are in this state folder.
  virtual absl::StatusOr<std::vector<CheckpointRow>> Checkpoints(std::string_view uid) = 0;
  virtual absl::StatusOr<CheckpointRow> PinCheckpoint(std::string_view uid, uint32_t step,
                                                      bool pinned) = 0;
  // Removes the rows of unpinned checkpoints among `steps`, and returns their steps. Checks the
  // pins in the same transaction, so that none can be pinned later and the files may be removed.
  virtual absl::StatusOr<std::vector<uint32_t>> ReleaseCheckpoints(
      std::string_view uid, const std::vector<uint32_t>& steps) = 0;
  // Updates the index after a scan or retention: removes rows of other steps, and adds `infos`.
  virtual absl::Status ReconcileCheckpoints(std::string_view uid,
                                            const std::vector<uint32_t>& steps_present,
                                            const std::vector<CheckpointInfo>& infos) = 0;

  // Calls back after each change, in the thread that made it and without locks, so the callback
  // must be quick. Never calls back once the subscription is gone.
  struct Notice {
    std::string name;
    bool durable = true;  // False: only progress.
  };
  class Subscription {
   public:
    virtual ~Subscription() = default;
  };
  using ChangeCallback = std::function<void(const Notice& notice)>;
  virtual std::unique_ptr<Subscription> Subscribe(ChangeCallback callback) = 0;

  virtual std::filesystem::path ExperimentFolder(std::string_view uid) const = 0;
  std::filesystem::path CheckpointFolder(std::string_view uid) const {
    return ExperimentFolder(uid) / "checkpoints";
  }
  virtual const std::filesystem::path& folder() const = 0;

  // Returns OK if this process may answer for the store. Returns UNAVAILABLE NOT_LEADER while it
  // cannot know, and for good once another process leads. Check before the use of files and of
  // state in memory; transactions check on their own.
  virtual absl::Status Leads() { return absl::OkStatus(); }
  // Publishes the address of this leader for standbys.
  virtual void Advertise(const std::string& /*address*/) {}
  // ---- The bucket (experiment_objects.h). Its files are copied into the folder when needed.

  // Returns null if there is no bucket and all files are in the folder.
  virtual ObjectStore* objects() const { return nullptr; }
  // Returns the path of a checkpoint's file; fetches it if the folder lacks it. Returns NOT_FOUND,
  // or DATA_LOSS when the checkpoint is not whole.
  virtual absl::StatusOr<std::filesystem::path> OpenCheckpoint(
      std::string_view uid, uint32_t step, const std::atomic<bool>* cancel = nullptr) {
    return CheckpointFolder(uid) / CheckpointFileName(step);
  }
  // The same for another file, by its path in the experiment's folder. `again`: fetches the
  // bucket's file even if the folder has one.
  virtual absl::StatusOr<std::filesystem::path> OpenFile(std::string_view uid,
                                                         const std::string& name,
                                                         const std::atomic<bool>* cancel = nullptr,
                                                         bool again = false) {
    return ExperimentFolder(uid) / name;
  }

  // Moves the database's log into the database, so that a lost log loses little. Call from time to
  // time; does not wait.
  virtual absl::Status EmptyLog() = 0;

  // Returns the number of results that a replay computed differently. Not 0: exactness is broken.
  virtual uint64_t replay_mismatches() const = 0;
  // Calls back with the seconds of each write transaction, including its sync.
  virtual void OnCommit(std::function<void(double seconds)> callback) = 0;
};

// Opens or creates the state folder; refuses a foreign folder. Returns DATA_LOSS when folders or
// objects of experiments have no row in the database: use Reindex. Returns FAILED_PRECONDITION
// IN_USE when another process uses the folder, TOO_NEW when a newer program wrote it. Sets *error
// accordingly, for exit codes.
enum class OpenError { kNone, kInUse, kTooNew, kOther };
struct StoreOptions {
  std::filesystem::path folder;
  // "postgresql://..." (store/postgres.h); empty: SQLite in the folder.
  std::string database = {};
  // Durable copies of checkpoints and artifacts; null: the folder has the only copies.
  std::shared_ptr<ObjectStore> objects = {};
  // Called when another meta-learner has taken over the database: from then on nothing can be
  // written. Called from any thread, more than once, under locks: must not call back.
  std::function<void(const absl::Status&)> on_lost = {};
  // The rest is for PostgreSQL. Address to publish for this process.
  std::string advertise = {};
  // Return IN_USE at once, without waiting for a predecessor that is about to end.
  bool try_only = false;
};
absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStore(const StoreOptions& options,
                                                           OpenError* error = nullptr);
absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStore(
    const std::filesystem::path& state_folder, OpenError* error = nullptr);

// Opens a store that reads what another process commits, for a standby or a report. Callers must
// not change it; a store in PostgreSQL answers changes with NOT_LEADER. Returns UNAVAILABLE while
// the database has no schema, or an older one that the next leader will migrate.
absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStoreToRead(const StoreOptions& options);

// What Reindex did with one folder.
struct Reindexed {
  std::string uid;
  v1::Experiment experiment;  // The restored experiment.
  absl::Status status;        // Error if not restored; then its folder is in STATE/lost/.
};
// Writes new rows for experiment folders whose row is missing or unreadable, from the files in them
// and in the bucket. The experiments become PAUSED at the newest whole checkpoint. Metrics are
// lost, since folders do not hold them. Returns the results by UID.
absl::StatusOr<std::vector<Reindexed>> Reindex(const StoreOptions& options);

}  // namespace mentor::meta_learner
