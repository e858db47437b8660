// Records of experiments: creates, changes, lists and deletes them, the queue, and the changes that
// watchers follow. A change that was answered with OK survives kill -9. Part of a Store (store.h).
// Thread-safe.
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
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/experiment.pb.h"
#include "meta_learner/store/change_hub.h"
#include "meta_learner/store/object_deletions.h"
#include "meta_learner/store/run_files.h"
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

}  // namespace mentor::meta_learner
