// The meta-learner's store, in three parts over one database: records of experiments, their results
// and their files. One process owns a state folder. With PostgreSQL several may share it: one leads
// (lease.h) and the others read. Callers take the part that they use. Thread-safe.
//
//   STATE/                  mode 0700
//     LOCK                  flock: one process at a time, or those of one PostgreSQL database
//     STORE                 with PostgreSQL: the identity of the store that the folder belongs to
//     FORMAT                "mentor-state 1"; locked as LOCK is
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

#include "common/mutex.h"
#include "common/resources/states.h"
#include "mentor/v1/experiment.pb.h"
#include "meta_learner/objects/object_store.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/object_deletions.h"

namespace mentor::meta_learner {

struct StoreDatabase;

// ---- RunFiles (run_files.cc): the files of experiments in the state folder, and the bucket with
// their durable copies where there is one (experiment_objects.h). Its files are copied into the
// folder when needed.

class RunFiles {
 public:
  RunFiles(StoreDatabase* database, std::filesystem::path folder,
           std::shared_ptr<ObjectStore> objects)
      : database_(database), folder_(std::move(folder)), objects_(std::move(objects)) {}

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path ExperimentFolder(std::string_view uid) const {
    return folder_ / "experiments" / std::string(uid);
  }
  std::filesystem::path CheckpointFolder(std::string_view uid) const {
    return ExperimentFolder(uid) / "checkpoints";
  }
  // Makes the folders and writes the specs of an experiment that is about to run.
  absl::Status PrepareFolder(std::string_view uid);
  // See Store::Leads. Check before a change of files; transactions check on their own.
  absl::Status Leads();

  // Returns null if there is no bucket and all files are in the folder.
  ObjectStore* objects() const { return objects_.get(); }
  // Returns the path of a checkpoint's file; fetches it if the folder lacks it. Returns NOT_FOUND,
  // or DATA_LOSS when the checkpoint is not whole.
  absl::StatusOr<std::filesystem::path> OpenCheckpoint(std::string_view uid, uint32_t step,
                                                       const std::atomic<bool>* cancel = nullptr);
  // The same for another file, by its path in the experiment's folder. `again`: fetches the
  // bucket's file even if the folder has one.
  absl::StatusOr<std::filesystem::path> OpenFile(std::string_view uid, const std::string& name,
                                                 const std::atomic<bool>* cancel = nullptr,
                                                 bool again = false);

 private:
  // Fetches a file unless it exists; waits for a running fetch of the same file.
  absl::StatusOr<std::filesystem::path> FetchOnce(const std::filesystem::path& path, bool again,
                                                  const std::atomic<bool>* cancel,
                                                  const std::function<absl::Status()>& fetch);

  StoreDatabase* const database_;
  const std::filesystem::path folder_;
  const std::shared_ptr<ObjectStore> objects_;
  Mutex fetch_mutex_;
  CondVar fetched_;
  std::set<std::filesystem::path> fetching_ ABSL_GUARDED_BY(fetch_mutex_);
};

// Subscribers to changes of the store. A notice only says that something changed; the store's
// events say what. Subscriptions may outlive the hub. A subscriber is called in the thread that
// notifies, without any lock of the store.
class ChangeHub : public std::enable_shared_from_this<ChangeHub> {
 public:
  struct Notice {
    std::string name;
    bool durable = true;  // False: only progress.
  };
  using Callback = std::function<void(const Notice& notice)>;
  class Subscription;

  // Calls back until the subscription is destroyed. Its destructor waits for a running call.
  std::unique_ptr<Subscription> Add(Callback callback);
  void Notify(const Notice& notice);

 private:
  struct Entry {
    explicit Entry(Callback callback) : callback(std::move(callback)) {}
    Mutex mutex;
    Callback callback ABSL_GUARDED_BY(mutex);  // It is null once the subscription is gone.
  };

  Mutex mutex_;
  std::vector<std::shared_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);
};

class ChangeHub::Subscription {
 public:
  Subscription(std::weak_ptr<ChangeHub> hub, std::shared_ptr<Entry> entry)
      : hub_(std::move(hub)), entry_(std::move(entry)) {}
  ~Subscription();

 private:
  const std::weak_ptr<ChangeHub> hub_;
  const std::shared_ptr<Entry> entry_;
};

// ---- Records (sql_changes.cc, sql_lists.cc, sql_events.cc): creates, changes, lists and deletes
// experiments; the queue, and the changes that watchers follow. A change that was answered with OK
// survives kill -9.

using State = mentor::ExperimentState;  // experiment_state.h has another in this namespace.

// Owner of experiments created without credentials.
inline constexpr std::string_view kLocalOwner = "local";

struct NewExperiment {
  // The submitted and checked spec, and the settings beside it. The store also keeps the spec with
  // every default.
  v1::Experiment experiment;
  // The store makes one if it is empty.
  std::string id = {};
  std::string owner = std::string(kLocalOwner);
  // A call without one is not idempotent.
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
  std::function<bool(const v1::Experiment&)> matches = {};  // Without it every one matches.
  std::string order_by = {};                                // As in ListExperiments.
  std::string key = {};  // Filter and order: a page token with another key is refused.
};

struct ExperimentPage {
  std::vector<v1::Experiment> experiments;
  std::string next_page_token;  // The last page has none.
  int64_t total_size = 0;
  int64_t revision = 0;  // Revision of the store when the page was read.
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

struct OwnerUsage {
  int64_t waiting = 0;  // QUEUED or PAUSED.
  int64_t queued = 0;   // QUEUED only.
  int64_t running = 0;
  int64_t checkpoint_bytes = 0;
};
// Returns QUOTA_EXCEEDED when the owner's checkpoints take bytes_max or more; 0: no limit.
absl::Status CheckStorage(std::string_view owner, const OwnerUsage& usage, int64_t bytes_max);

// Rows that are read ahead of their use take no more memory.
inline constexpr size_t kPieceBytesMax = 256 << 10;

class Records {
 public:
  Records(StoreDatabase* database, RunFiles* files) : database_(database), files_(files) {}

  // ---- Experiments. Names are "experiments/{id}". Answers carry activity and progress as last
  // set.

  // Creates a QUEUED experiment. A known request_id with the same hash gets its first answer again.
  absl::StatusOr<v1::Experiment> Create(const NewExperiment& experiment);
  // Returns the answer that Create would repeat; nullopt when the request is new.
  absl::StatusOr<std::optional<v1::Experiment>> Answered(const NewExperiment& experiment);
  absl::StatusOr<v1::Experiment> Get(std::string_view name);
  absl::StatusOr<ExperimentPage> List(const ListQuery& query);
  // Returns the experiments in these states, oldest first.
  absl::StatusOr<std::vector<v1::Experiment>> InStates(const std::set<State>& states);
  absl::StatusOr<std::map<State, int64_t>> CountByState();

  // Edits an experiment in one transaction. `edit` may change user settings, the state (by a legal
  // transition), error, pause_reason, retries, preemptions and served_env_steps. If `edit` returns
  // an error, Change returns it and changes nothing. An edit without changes writes nothing. Sets
  // the times. A non-empty etag must be the current one, else returns ABORTED ETAG_MISMATCH. The
  // error is kept on the way to FAILED, CANCELLED and QUEUED, and during a pause for the owner's
  // storage quota.
  using Edit = std::function<absl::Status(v1::Experiment*)>;
  absl::StatusOr<v1::Experiment> Change(std::string_view name, std::string_view etag,
                                        const Edit& edit);
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
  absl::Status DeleteIf(std::string_view name, std::string_view etag, const Check& check);
  // Removes the files of interrupted deletions; the bucket's objects follow on a thread.
  absl::Status FinishDeletions();

  // Returns activity and progress of the experiments at work, as last set. Their other fields are
  // missing.
  std::vector<v1::Experiment> AtWork();
  // Sets activity and progress. Readers and watchers see them at once; the next durable change
  // writes them.
  absl::Status SetProgress(std::string_view name, std::string_view activity,
                           const v1::Progress& progress);

  // ---- The queue.

  // Returns the oldest QUEUED experiment of each class and owner, oldest first. Skips the names in
  // `except`.
  absl::StatusOr<std::vector<QueueHead>> QueueHeads(const std::set<std::string>& except = {});
  absl::StatusOr<std::map<std::string, OwnerUsage>> Usage();
  // Returns experiments that have not ended, with a deadline before `now_ns` (Unix time).
  absl::StatusOr<std::vector<v1::Experiment>> PastDeadline(int64_t now_ns);
  // Returns ended experiments with an expire_time before `now_ns`.
  absl::StatusOr<std::vector<v1::Experiment>> Expired(int64_t now_ns);

  // ---- Changes.

  // A piece of the store: a few rows, at most kPieceBytesMax of memory beyond the first one.
  struct Snapshot {
    int64_t revision = 0;                     // The store's, when the piece was read.
    std::vector<v1::Experiment> experiments;  // By name.
    std::string last;  // Where the next piece begins; empty: nothing follows this one.
  };
  // Returns the next piece of all experiments, or of the named ones that exist. `after`: `last` of
  // the piece before.
  absl::StatusOr<Snapshot> ReadSnapshot(const std::set<std::string>& names,
                                        std::string_view after = "");
  // Returns changes after a revision, in order: at most `limit`, and kPieceBytesMax of memory
  // beyond the first one. Returns OUT_OF_RANGE WATCH_COMPACTED when they are no longer kept, or the
  // revision is not of this store.
  absl::StatusOr<std::vector<StoreEvent>> Events(int64_t after_revision, int limit);
  absl::StatusOr<int64_t> Revision();
  // Drops all but the newest `keep` events, and events older than an age.
  absl::Status CompactEvents(int64_t keep, int64_t older_than_ns);
  // Identity of this store: tokens of another store are refused.
  const std::string& store_uid() const;

  // Calls back after each change, in the thread that made it and without locks, so the callback
  // must be quick. Never calls back once the subscription is gone.
  using Notice = ChangeHub::Notice;
  using Subscription = ChangeHub::Subscription;
  std::unique_ptr<Subscription> Subscribe(ChangeHub::Callback callback);

  // Moves the database's log into the database, so that a lost log loses little. Call from time to
  // time; does not wait.
  absl::Status EmptyLog();
  // Calls back with the seconds of each write transaction, including its sync.
  void OnCommit(std::function<void(double seconds)> callback);

 private:
  absl::Status RemoveFiles(std::string_view uid);
  absl::Status ForgetDeletion(std::string_view uid);

  StoreDatabase* const database_;
  RunFiles* const files_;
  // Set by FinishDeletions when there is a bucket. Last member, since its thread uses the others.
  std::unique_ptr<ObjectDeletions> object_deletions_;
};

// ---- Results (sql_results.cc): points by outer update, and the index of checkpoints.

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

class Results {
 public:
  Results(StoreDatabase* database, const RunFiles* files) : database_(database), files_(files) {}

  // Writes points, checkpoint row and progress in one transaction. Only for experiments at work
  // (RUNNING, PAUSING or CANCELLING).
  absl::Status RecordOuterStep(std::string_view uid, const OuterStep& step);
  // Writes points outside of outer updates, for instance of an evaluation. The rules of replay
  // apply.
  absl::Status RecordPoints(std::string_view uid, uint32_t step,
                            const std::map<std::string, double>& results,
                            const std::map<std::string, double>& timings);
  // Returns the points of steps in [step_min, step_max], by metric name. No names: all metrics.
  // With more than points_max of a metric, only the first steps, each with all its points.
  absl::StatusOr<std::map<std::string, Series>> Points(std::string_view uid,
                                                       const std::set<std::string>& metrics = {},
                                                       uint32_t step_min = 0,
                                                       uint32_t step_max = UINT32_MAX,
                                                       uint32_t points_max = UINT32_MAX);
  absl::StatusOr<std::map<std::string, Series>> LastPoints(std::string_view uid);

  // Returns the rows of checkpoints, by step. Paths are in this state folder.
  absl::StatusOr<std::vector<CheckpointRow>> Checkpoints(std::string_view uid);
  absl::StatusOr<CheckpointRow> PinCheckpoint(std::string_view uid, uint32_t step, bool pinned);
  // Removes the rows of unpinned checkpoints among `steps`, and returns their steps. Checks the
  // pins in the same transaction, so that none can be pinned later and the files may be removed.
  absl::StatusOr<std::vector<uint32_t>> ReleaseCheckpoints(std::string_view uid,
                                                           const std::vector<uint32_t>& steps);
  // Updates the index after a scan or retention: removes rows of other steps, and adds `infos`.
  absl::Status ReconcileCheckpoints(std::string_view uid,
                                    const std::vector<uint32_t>& steps_present,
                                    const std::vector<CheckpointInfo>& infos);
  // Returns the number of results that a replay computed differently. Not 0: exactness is broken.
  uint64_t replay_mismatches() const;

 private:
  StoreDatabase* const database_;
  const RunFiles* const files_;
};

// ---- The whole.

struct Store {
  Store(std::unique_ptr<StoreDatabase> opened, std::filesystem::path folder,
        std::shared_ptr<ObjectStore> objects);
  ~Store();

  // Returns OK if this process may answer for the store. Returns UNAVAILABLE NOT_LEADER while it
  // cannot know, and for good once another process leads. Check before the use of state in memory;
  // transactions check on their own.
  absl::Status Leads() { return files.Leads(); }
  // Publishes the address of this leader for standbys.
  void Advertise(const std::string& address);

  const std::unique_ptr<StoreDatabase> database;
  RunFiles files;
  Records records;
  Results results;
};

struct StoreOptions {
  std::filesystem::path folder;
  // "postgresql://..." (store/database.h); empty: SQLite in the folder.
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

// Opens or creates the state folder; refuses a foreign folder. Returns DATA_LOSS when folders or
// objects of experiments have no row in the database: use Reindex. Returns FAILED_PRECONDITION
// IN_USE when another process uses the folder, TOO_NEW when a newer program wrote it.
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreOptions& options);
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const std::filesystem::path& state_folder);

// Opens a store that reads what another process commits, for a standby or a report. Callers must
// not change it; a store in PostgreSQL answers changes with NOT_LEADER. Returns UNAVAILABLE while
// the database has no schema, or an older one that the next leader will migrate.
absl::StatusOr<std::unique_ptr<Store>> OpenStoreToRead(const StoreOptions& options);

// What Reindex did with one folder.
struct Reindexed {
  std::string uid;
  v1::Experiment experiment;  // The restored experiment.
  std::string spec_from;      // What its spec was taken from, and why it is believed.
  absl::Status status;        // Error if not restored; then its folder is in STATE/lost/.
};
// Writes new rows for experiment folders whose row is missing or unreadable, from the files in them
// and in the bucket. The spec is the one whose hash the whole checkpoints have. The experiments
// become PAUSED at the newest whole checkpoint. Metrics are lost, since folders do not hold them.
// Returns the results by UID.
absl::StatusOr<std::vector<Reindexed>> Reindex(const StoreOptions& options);

}  // namespace mentor::meta_learner
