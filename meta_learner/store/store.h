// What the meta-learner remembers: experiments, answered requests, changes, metrics, and an index
// of checkpoints. A change that was answered with OK survives kill -9. One process owns a state
// folder; with PostgreSQL several may share it, of which one leads (lease.h) and the others read.
// Thread-safe.
//
//   STATE/                  mode 0700
//     LOCK                  flock: one process at a time, or those of one PostgreSQL database
//     STORE                 with PostgreSQL: the identity of the store that the folder belongs to
//     FORMAT                "mentor-state 1"
//     mentor.db -wal -shm   SQLite, unless the database is elsewhere (Options.database)
//     reserve               room for the last words on a full disk (scheduling/disk_guard.h)
//     experiments/UID/      made by Create:
//       experiment.txtpb    name, owner, settings and spec as created, for Reindex
//                           from its first run on:
//       spec.txtpb          as submitted
//       merged.txtpb        with every default
//       checkpoints/        meta_learner/store/checkpoint.h
//       log.jsonl           what was logged about it
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

// The owner of what is created without credentials.
inline constexpr std::string_view kLocalOwner = "local";

struct NewExperiment {
  // spec, as submitted and already checked, and what a user may set beside it. The store keeps the
  // spec with every default written out.
  v1::Experiment experiment;
  // Empty: the store makes one.
  std::string id = {};
  std::string owner = std::string(kLocalOwner);
  // Empty: not idempotent.
  std::string request_id = {};
  // Hash of the request without its id: another one under the same id is refused.
  std::string request_hash = {};
  // Puts files into the experiment's folder (uid, spec hash), before anybody knows of it.
  std::function<absl::Status(const std::string& uid, const std::filesystem::path& folder)>
      fill_folder = {};
};

// A new experiment with nothing but a spec.
inline NewExperiment WithSpec(const v1::ExperimentSpec& spec, const std::string& id = "") {
  NewExperiment experiment{.experiment = {}, .id = id};
  *experiment.experiment.mutable_spec() = spec;
  return experiment;
}

// ABORTED unless nothing is expected or what is expected is there.
absl::Status CheckEtag(std::string_view name, std::string_view expected, std::string_view found);

struct ListQuery {
  int page_size = 0;  // As asked for.
  std::string page_token = {};
  std::function<bool(const v1::Experiment&)> matches = {};  // None: all.
  std::string order_by = {};                                // As in ListExperiments.
  std::string key = {};  // Hash of filter and order: a page token with another one is refused.
};

struct ExperimentPage {
  std::vector<v1::Experiment> experiments;
  std::string next_page_token;  // Empty on the last page.
  int64_t total_size = 0;
  int64_t revision = 0;  // The store's, when this was read.
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
  uint64_t served_env_steps = 0;  // Made for it since the step before.
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

// What one owner has.
struct OwnerUsage {
  int64_t waiting = 0;  // QUEUED or PAUSED.
  int64_t queued = 0;   // Of those, QUEUED.
  int64_t running = 0;
  int64_t checkpoint_bytes = 0;
};
// QUOTA_EXCEEDED when the owner's checkpoints take as much as is allowed; 0: no limit.
absl::Status CheckStorage(std::string_view owner, const OwnerUsage& usage, int64_t bytes_max);

class ExperimentStore {
 public:
  virtual ~ExperimentStore() = default;

  // ---- Experiments. Names are "experiments/{id}". Answers carry activity and progress as last
  // set.

  // QUEUED. A known request_id with the same hash gets its first answer again.
  virtual absl::StatusOr<v1::Experiment> Create(const NewExperiment& experiment) = 0;
  // The answer that Create would repeat; nothing when the request is new.
  virtual absl::StatusOr<std::optional<v1::Experiment>> Answered(
      const NewExperiment& experiment) = 0;
  virtual absl::StatusOr<v1::Experiment> Get(std::string_view name) = 0;
  virtual absl::StatusOr<ExperimentPage> List(const ListQuery& query) = 0;
  // Oldest first.
  virtual absl::StatusOr<std::vector<v1::Experiment>> InStates(const std::set<State>& states) = 0;
  virtual absl::StatusOr<std::map<State, int64_t>> CountByState() = 0;

  // One transaction: `edit` changes what a user may set, the state (along a legal arrow), error,
  // pause_reason, retries, preemptions and served_env_steps; its error is the answer and changes
  // nothing. Sets times. An edit that changes nothing writes nothing. A set etag must be the
  // current one, else ABORTED ETAG_MISMATCH. An error stays on the way to FAILED, CANCELLED and
  // back to the queue, and while its owner's storage is what pauses it.
  using Edit = std::function<absl::Status(v1::Experiment*)>;
  virtual absl::StatusOr<v1::Experiment> Change(std::string_view name, std::string_view etag,
                                                const Edit& edit) = 0;
  // Change of the state alone, from one of `from`, else FAILED_PRECONDITION ILLEGAL_TRANSITION with
  // the state it is in.
  absl::StatusOr<v1::Experiment> Transition(std::string_view name, const std::set<State>& from,
                                            State to, const absl::Status& error = {});
  // Removes an experiment in a final state, then its files.
  absl::Status Delete(std::string_view name, std::string_view etag) {
    return DeleteIf(name, etag, nullptr);
  }
  // The same of one that `check` lets go; its error is the answer and changes nothing. None: any.
  using Check = std::function<absl::Status(const v1::Experiment&)>;
  virtual absl::Status DeleteIf(std::string_view name, std::string_view etag,
                                const Check& check) = 0;
  // Removes files of deletions that were interrupted.
  virtual absl::Status FinishDeletions() = 0;

  // Makes the folders and writes the specs of an experiment that is about to run.
  virtual absl::Status PrepareFolder(std::string_view uid) = 0;
  // Readers and watchers see it at once; it is written with the next durable change.
  virtual absl::Status SetProgress(std::string_view name, std::string_view activity,
                                   const v1::Progress& progress) = 0;

  // ---- The queue.

  // The oldest QUEUED one of each class and owner, oldest first; `except` holds names that wait for
  // something else.
  virtual absl::StatusOr<std::vector<QueueHead>> QueueHeads(
      const std::set<std::string>& except = {}) = 0;
  virtual absl::StatusOr<std::map<std::string, OwnerUsage>> Usage() = 0;
  // Not ended, with a deadline before `now_ns` (Unix time).
  virtual absl::StatusOr<std::vector<v1::Experiment>> PastDeadline(int64_t now_ns) = 0;
  // Ended, with an expire_time before `now_ns`.
  virtual absl::StatusOr<std::vector<v1::Experiment>> Expired(int64_t now_ns) = 0;

  // ---- Changes.

  struct Snapshot {
    int64_t revision = 0;
    std::vector<v1::Experiment> experiments;  // By name.
  };
  // All experiments, or those named, at one moment.
  virtual absl::StatusOr<Snapshot> ReadSnapshot(const std::set<std::string>& names) = 0;
  // Changes after a revision, in order. OUT_OF_RANGE WATCH_COMPACTED when they are not kept any
  // more, or the revision is not of this store.
  virtual absl::StatusOr<std::vector<StoreEvent>> Events(int64_t after_revision, int limit) = 0;
  virtual absl::StatusOr<int64_t> Revision() = 0;
  // Drops all but the newest events, and those older than an age.
  virtual absl::Status CompactEvents(int64_t keep, int64_t older_than_ns) = 0;
  // Identity of this store: tokens of another one are refused.
  virtual const std::string& store_uid() const = 0;

  // ---- What an experiment produces.

  // One transaction: points, checkpoint row, progress. Only for experiments at work.
  virtual absl::Status RecordOuterStep(std::string_view uid, const OuterStep& step) = 0;
  // Points outside of outer updates, for instance of an evaluation. Same rules of replay.
  virtual absl::Status RecordPoints(std::string_view uid, uint32_t step,
                                    const std::map<std::string, double>& results,
                                    const std::map<std::string, double>& timings) = 0;
  // By name, of steps in [step_min, step_max]; no names: all metrics.
  virtual absl::StatusOr<std::map<std::string, Series>> Points(
      std::string_view uid, const std::set<std::string>& metrics = {}, uint32_t step_min = 0,
      uint32_t step_max = UINT32_MAX) = 0;

  // Rows of checkpoints, by step. Paths are those of this state folder.
  virtual absl::StatusOr<std::vector<CheckpointRow>> Checkpoints(std::string_view uid) = 0;
  virtual absl::StatusOr<CheckpointRow> PinCheckpoint(std::string_view uid, uint32_t step,
                                                      bool pinned) = 0;
  // Takes the rows of those of `steps` that are not pinned, in one transaction with the look at the
  // pins: nobody can pin one of them any more, and its file may go. The answer is those.
  virtual absl::StatusOr<std::vector<uint32_t>> ReleaseCheckpoints(
      std::string_view uid, const std::vector<uint32_t>& steps) = 0;
  // The index after a scan or retention: rows of other steps go, `infos` are added.
  virtual absl::Status ReconcileCheckpoints(std::string_view uid,
                                            const std::vector<uint32_t>& steps_present,
                                            const std::vector<CheckpointInfo>& infos) = 0;

  // Calls back after each change, in the thread that made it and without locks, so the callback
  // must be quick. It is never called once the subscription is gone.
  struct Notice {
    std::string name;
    bool durable = true;  // False: progress alone.
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

  // Whether this process may speak for the store: UNAVAILABLE NOT_LEADER while it cannot know, and
  // for good once another one leads. What it commits is safe without asking: every transaction asks
  // by itself. For files, and for what it has in memory.
  virtual absl::Status Leads() { return absl::OkStatus(); }
  // The address at which this leader is found, for those who stand by.
  virtual void Advertise(const std::string& /*address*/) {}
  // ---- The bucket (experiment_objects.h), whose copies of files come into the folder when they
  // are wanted there.

  // Null: there is none, and all files are in the folder.
  virtual ObjectStore* objects() const { return nullptr; }
  // A checkpoint's file: the folder's, else fetched. NOT_FOUND, DATA_LOSS when it is not whole.
  virtual absl::StatusOr<std::filesystem::path> OpenCheckpoint(
      std::string_view uid, uint32_t step, const std::atomic<bool>* cancel = nullptr) {
    return CheckpointFolder(uid) / CheckpointFileName(step);
  }
  // The same of another file, by its path in the experiment's folder. `again`: the bucket's, also
  // when there is one here.
  virtual absl::StatusOr<std::filesystem::path> OpenFile(std::string_view uid,
                                                         const std::string& name,
                                                         const std::atomic<bool>* cancel = nullptr,
                                                         bool again = false) {
    return ExperimentFolder(uid) / name;
  }

  // Moves what stands in the database's log into the database, so that little goes with the log.
  // Now and then; waits for nobody.
  virtual absl::Status EmptyLog() = 0;

  // Results that a replay computed differently: exactness is broken when this is not 0.
  virtual uint64_t replay_mismatches() const = 0;
  // Called with the seconds of each transaction that wrote, its sync included.
  virtual void OnCommit(std::function<void(double seconds)> callback) = 0;
};

// Opens or creates the state folder; one that holds something else is refused. DATA_LOSS when there
// are folders or objects of experiments that the database does not know: Reindex.
// FAILED_PRECONDITION IN_USE when another process uses it, TOO_NEW when a newer program wrote it;
// `error` tells which, for exit codes.
enum class OpenError { kNone, kInUse, kTooNew, kOther };
struct StoreOptions {
  std::filesystem::path folder;
  // "postgresql://..." (store/postgres.h); empty: SQLite in the folder.
  std::string database = {};
  // The durable copies of checkpoints and artifacts; null: the folder has the only ones.
  std::shared_ptr<ObjectStore> objects = {};
  // Called when another meta-learner has taken the database over: nothing can be written from then
  // on. From any thread, more than once, under locks: it must not call back.
  std::function<void(const absl::Status&)> on_lost = {};
  // The rest is for PostgreSQL. Where it is found, as others are told.
  std::string advertise = {};
  // IN_USE at once, rather than after a wait for a predecessor that is about to end.
  bool try_only = false;
};
absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStore(const StoreOptions& options,
                                                           OpenError* error = nullptr);
absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStore(
    const std::filesystem::path& state_folder, OpenError* error = nullptr);

// What another process has committed, for who stands by or draws a report meanwhile. Nothing is to
// be changed, which a store in PostgreSQL answers with NOT_LEADER. UNAVAILABLE while the database
// has no schema, or an older one that the next leader changes.
absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStoreToRead(const StoreOptions& options);

// What Reindex did about one folder.
struct Reindexed {
  std::string uid;
  v1::Experiment experiment;  // As it is now.
  absl::Status status;        // Why it is not back; its folder is in STATE/lost/ then.
};
// Gives folders of experiments without a row that can be read a row, from what stands in them (and
// in the bucket):
// PAUSED at the newest whole checkpoint, whatever they were. Metrics are not in folders. By UID.
absl::StatusOr<std::vector<Reindexed>> Reindex(const StoreOptions& options);

}  // namespace mentor::meta_learner
