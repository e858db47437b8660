// The store over an SQL database, SQLite or PostgreSQL (database.h). Only for the files that define
// its members; other code uses store.h.
//
//   sql_store.cc     opening, transactions, reading a row, state that is only in memory
//   sql_changes.cc   creates, changes and deletes experiments
//   sql_lists.cc     finds experiments: pages, states, the queue
//   sql_events.cc    the changes after a revision
//   sql_results.cc   points and the index of checkpoints
//   sql_recovery.cc  compares folders, objects and rows
//   sql_objects.cc   fetches files from the bucket
//
// Thread-safe: one connection writes and one reads, each behind its mutex.
#pragma once

#include <atomic>
#include <chrono>
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

#include "common/check.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/history.h"
#include "common/mutex.h"
#include "common/resources/names.h"
#include "common/status.h"
#include "meta_learner/store/change_hub.h"
#include "meta_learner/store/database.h"
#include "meta_learner/store/lease.h"
#include "meta_learner/store/object_deletions.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class SqlStore : public ExperimentStore {
 public:
  struct Parts {
    std::filesystem::path folder;
    std::unique_ptr<FileLock> lock = {};         // Null for readers.
    std::unique_ptr<LeaseKeeper> keeper = {};    // Null with SQLite, and for readers.
    std::unique_ptr<sql::Database> writer = {};  // A reader uses it as a second reader.
    std::unique_ptr<sql::Database> reader = {};
    std::shared_ptr<ObjectStore> objects = {};  // Null: all files are in the folder.
    std::function<void(const absl::Status&)> on_lost = {};
  };
  explicit SqlStore(Parts parts)
      : folder_(std::move(parts.folder)),
        lock_(std::move(parts.lock)),
        objects_(std::move(parts.objects)),
        on_lost_(std::move(parts.on_lost)),
        writer_(std::move(parts.writer)),
        reader_(std::move(parts.reader)),
        keeper_(std::move(parts.keeper)) {}

  // Must be called first. If folders_need_rows, folders without a row are an error.
  absl::Status Start(bool folders_need_rows);
  // The same for readers.
  absl::Status StartToRead();
  // sql_recovery.cc: does the work of Reindex, once the folder is taken.
  absl::StatusOr<std::vector<Reindexed>> BringBack();

  // sql_changes.cc
  absl::StatusOr<v1::Experiment> Create(const NewExperiment& experiment) override;
  absl::StatusOr<std::optional<v1::Experiment>> Answered(const NewExperiment& experiment) override {
    const MutexLock lock(writer_mutex_);
    return AnsweredBefore(experiment, NowNs());
  }
  absl::StatusOr<v1::Experiment> Change(std::string_view name, std::string_view etag,
                                        const Edit& edit) override;
  absl::Status DeleteIf(std::string_view name, std::string_view etag, const Check& check) override;
  absl::Status FinishDeletions() override;

  // sql_lists.cc
  absl::StatusOr<v1::Experiment> Get(std::string_view name) override;
  absl::StatusOr<ExperimentPage> List(const ListQuery& query) override;
  absl::StatusOr<std::vector<v1::Experiment>> InStates(const std::set<State>& states) override;
  absl::StatusOr<std::map<State, int64_t>> CountByState() override;
  absl::StatusOr<std::vector<QueueHead>> QueueHeads(const std::set<std::string>& except) override;
  absl::StatusOr<std::map<std::string, OwnerUsage>> Usage() override;
  absl::StatusOr<std::vector<v1::Experiment>> PastDeadline(int64_t now_ns) override;
  absl::StatusOr<std::vector<v1::Experiment>> Expired(int64_t now_ns) override;

  // sql_events.cc
  absl::StatusOr<Snapshot> ReadSnapshot(const std::set<std::string>& names) override;
  absl::StatusOr<std::vector<StoreEvent>> Events(int64_t after_revision, int limit) override;
  absl::StatusOr<int64_t> Revision() override;
  absl::Status CompactEvents(int64_t keep, int64_t older_than_ns) override;

  // sql_results.cc
  absl::Status RecordOuterStep(std::string_view uid, const OuterStep& step) override;
  absl::Status RecordPoints(std::string_view uid, uint32_t step,
                            const std::map<std::string, double>& results,
                            const std::map<std::string, double>& timings) override;
  absl::StatusOr<std::map<std::string, Series>> Points(std::string_view uid,
                                                       const std::set<std::string>& metrics,
                                                       uint32_t step_min,
                                                       uint32_t step_max) override;
  absl::StatusOr<std::vector<CheckpointRow>> Checkpoints(std::string_view uid) override;
  absl::StatusOr<CheckpointRow> PinCheckpoint(std::string_view uid, uint32_t step,
                                              bool pinned) override;
  absl::StatusOr<std::vector<uint32_t>> ReleaseCheckpoints(
      std::string_view uid, const std::vector<uint32_t>& steps) override;
  absl::Status ReconcileCheckpoints(std::string_view uid,
                                    const std::vector<uint32_t>& steps_present,
                                    const std::vector<CheckpointInfo>& infos) override;

  // sql_objects.cc
  ObjectStore* objects() const override { return objects_.get(); }
  absl::StatusOr<std::filesystem::path> OpenCheckpoint(std::string_view uid, uint32_t step,
                                                       const std::atomic<bool>* cancel) override;
  absl::StatusOr<std::filesystem::path> OpenFile(std::string_view uid, const std::string& name,
                                                 const std::atomic<bool>* cancel,
                                                 bool again) override;

  // sql_store.cc, or here
  absl::Status PrepareFolder(std::string_view uid) override;
  absl::Status SetProgress(std::string_view name, std::string_view activity,
                           const v1::Progress& progress) override;
  const std::string& store_uid() const override { return store_uid_; }
  std::unique_ptr<Subscription> Subscribe(ChangeCallback callback) override {
    return hub_->Add(std::move(callback));
  }
  std::filesystem::path ExperimentFolder(std::string_view uid) const override {
    return folder_ / "experiments" / std::string(uid);
  }
  const std::filesystem::path& folder() const override { return folder_; }
  absl::Status Leads() override {
    if (lock_ == nullptr) return NotLeader("");
    return keeper_ == nullptr ? absl::OkStatus() : keeper_->Leads();
  }
  void Advertise(const std::string& address) override {
    if (keeper_ != nullptr) keeper_->Advertise(address);
  }
  absl::Status EmptyLog() override {
    const MutexLock lock(writer_mutex_);
    return writer_->EmptyLog();
  }
  uint64_t replay_mismatches() const override { return replay_mismatches_; }
  void OnCommit(std::function<void(double)> callback) override {
    const MutexLock lock(writer_mutex_);
    on_commit_ = std::move(callback);
  }

 private:
  // Activity and progress of an experiment at work, as last reported.
  struct Live {
    std::string activity;
    v1::Progress progress;
  };

  // A transaction of the writer. The caller must hold writer_mutex_ until its end.
  class Writing {
   public:
    Writing(std::unique_ptr<sql::Transaction> transaction,
            std::chrono::steady_clock::time_point start,
            const std::function<void(double)>& on_commit, const int64_t& revision)
        : transaction_(std::move(transaction)),
          start_(start),
          on_commit_(on_commit),
          revision_(revision) {}
    absl::Status Commit() {
      // The failpoint simulates a database that loses a confirmed commit; the destructor rolls
      // back.
      const bool forgets = MENTOR_FAILPOINT("store.commit.forgotten").has_value();
      absl::Status status = forgets ? absl::OkStatus() : transaction_->Commit();
      if (status.ok() && revision_ > 0) MENTOR_HISTORY("committed", {{"revision", revision_}});
      if (on_commit_) {
        on_commit_(
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count());
      }
      return status;
    }

   private:
    const std::unique_ptr<sql::Transaction> transaction_;
    const std::chrono::steady_clock::time_point start_;
    const std::function<void(double)>& on_commit_;
    const int64_t& revision_;
  };
  absl::StatusOr<std::unique_ptr<Writing>> BeginWriting()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_) {
    if (lock_ == nullptr) return NotLeader("");
    const auto start = std::chrono::steady_clock::now();
    auto transaction = sql::Transaction::Begin(writer_.get());
    if (!transaction.ok()) {
      if (on_lost_ && ReasonOf(transaction.status()) == ReasonName(Reason::kInUse))
        on_lost_(transaction.status());
      return transaction.status();
    }
    revision_ = 0;
    return std::make_unique<Writing>(*std::move(transaction), start, on_commit_, revision_);
  }

  // Unix time.
  static int64_t NowNs();
  // Converts a failpoint's text to an error.
  static absl::Status Hit(const std::optional<std::string>& error);

  // Returns the experiment of a row of sql::kExperimentColumns, with the state that is only in
  // memory.
  absl::StatusOr<v1::Experiment> FromRow(const sql::Query& row);
  absl::StatusOr<v1::Experiment> GetWith(sql::Database* database, const std::string& id);
  // Reads a row. Returns false if the row is unreadable, which is logged once; returns other
  // errors.
  absl::StatusOr<bool> Read(const sql::Query& row, v1::Experiment* experiment);
  // Returns the readable experiments of a query on sql::kExperimentColumns with bound values.
  absl::StatusOr<std::vector<v1::Experiment>> ReadAll(sql::Query* row);
  static absl::StatusOr<int64_t> RevisionOf(sql::Database* database);
  std::optional<Live> LiveOf(const std::string& id);
  // Must run within a transaction.
  absl::StatusOr<int64_t> NextRevision() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);

  // sql_changes.cc.
  absl::StatusOr<std::optional<v1::Experiment>> AnsweredBefore(const NewExperiment& experiment,
                                                               int64_t now_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);
  absl::Status RemoveFiles(std::string_view uid);
  absl::StatusOr<std::vector<std::string>> Deletions();
  absl::Status ForgetDeletion(std::string_view uid);
  // Inserts a row from these fields only: uid, name, spec as submitted, state, progress,
  // create_time, owner, priority, deadline, and fields without a column. Must run within a
  // transaction.
  absl::Status InsertRow(const v1::Experiment& row, int64_t now_ns, int64_t revision)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);

  // sql_lists.cc.
  absl::StatusOr<ExperimentPage> ListByName(const ListQuery& query, int page_size,
                                            const std::string& after)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(reader_mutex_);

  // sql_events.cc. Must run within a transaction.
  absl::Status WriteEvent(StoreEvent::Kind kind, int64_t revision, int64_t now_ns,
                          const v1::Experiment& experiment)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);

  // sql_recovery.cc. Returns the UIDs of experiment folders without a row, in order.
  absl::StatusOr<std::vector<std::string>> FoldersWithoutRow();
  absl::StatusOr<std::set<std::string>> UidsOfRows();
  // Removes folders left by interrupted creations, from the disk and from the list.
  absl::Status RemoveLeftByCreate(std::vector<std::string>* without_row);
  // Returns DATA_LOSS and logs each UID, unless the list is empty.
  absl::Status RefuseWithoutRow(const std::vector<std::string>& without_row) const;
  // Returns the UIDs of experiments in the bucket without a row or pending deletion, in order.
  absl::StatusOr<std::vector<std::string>> ObjectsWithoutRow(const std::atomic<bool>* cancel);
  absl::Status RefuseObjectsWithoutRow();
  // Fetches what BringBackOne needs into the folders of such experiments.
  absl::Status FetchFoldersWithoutRow();
  // Returns the whole checkpoints of folder and bucket.
  absl::StatusOr<std::vector<CheckpointInfo>> CheckpointsOf(const std::string& uid,
                                                            const std::string& spec_hash);
  // Logs each experiment whose checkpoints have rows but no folder.
  absl::Status NameLostCheckpoints();
  // Returns the UIDs of unreadable rows.
  absl::StatusOr<std::vector<std::string>> RowsUnreadable();
  // Writes a new row for one folder whose row is missing or unreadable.
  absl::StatusOr<v1::Experiment> BringBackOne(const std::string& uid, bool has_row);

  // sql_objects.cc. Fetches a file unless it exists; waits for a running fetch of the same file.
  absl::StatusOr<std::filesystem::path> FetchOnce(const std::filesystem::path& path, bool again,
                                                  const std::atomic<bool>* cancel,
                                                  const std::function<absl::Status()>& fetch);

  // sql_results.cc. These must run within a transaction.
  absl::Status WritePoints(std::string_view uid, uint32_t step,
                           const std::map<std::string, double>& points, bool reproducible)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);
  absl::Status DeleteCheckpointRow(std::string_view uid, uint32_t step)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);
  absl::Status WriteCheckpointRow(std::string_view uid, const CheckpointInfo& info)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);
  // Returns the id of an experiment at work; FAILED_PRECONDITION in other states.
  absl::StatusOr<std::string> RequireAtWork(std::string_view uid)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);

  // Fixed after Start; the objects do their own locking.
  const std::filesystem::path folder_;
  const std::unique_ptr<FileLock> lock_;
  const std::shared_ptr<ObjectStore> objects_;
  const std::function<void(const absl::Status&)> on_lost_;
  const std::shared_ptr<ChangeHub> hub_ = std::make_shared<ChangeHub>();
  std::string store_uid_;
  std::atomic<uint64_t> replay_mismatches_ = 0;
  // Held for a whole transaction, including its sync. Never acquired while another mutex is held.
  Mutex writer_mutex_;
  const std::unique_ptr<sql::Database> writer_ ABSL_PT_GUARDED_BY(writer_mutex_);
  std::function<void(double)> on_commit_ ABSL_GUARDED_BY(writer_mutex_);
  // Revision of the open or last transaction; 0: none.
  int64_t revision_ ABSL_GUARDED_BY(writer_mutex_) = 0;
  // Separate, so that readers do not wait for syncs.
  Mutex reader_mutex_;
  const std::unique_ptr<sql::Database> reader_ ABSL_PT_GUARDED_BY(reader_mutex_);
  Mutex live_mutex_;
  std::map<std::string, Live> live_ ABSL_GUARDED_BY(live_mutex_);  // By id.
  std::set<std::string> unreadable_ ABSL_GUARDED_BY(live_mutex_);  // Ids that were logged.
  Mutex fetch_mutex_;
  CondVar fetched_;
  std::set<std::filesystem::path> fetching_ ABSL_GUARDED_BY(fetch_mutex_);
  // Declared after writer_, so that the beats end before the session that has the lock.
  const std::unique_ptr<LeaseKeeper> keeper_;
  // Set by Start when there is a bucket. Last member, since its thread uses the others.
  std::unique_ptr<ObjectDeletions> object_deletions_;
};

}  // namespace mentor::meta_learner
