// The database below the parts of a store: connections to SQLite or PostgreSQL (database.h), the
// lease, and state that is only in memory. Rows that several parts write are written here. Only for
// the files that define the parts; other code uses store.h.
//
//   sql_changes.cc    Records: creates, changes and deletes experiments
//   sql_lists.cc      Records: finds experiments: pages, states, the queue
//   sql_events.cc     Records: the changes after a revision
//   sql_results.cc    Results: points and the index of checkpoints
//   run_files.cc      RunFiles: prepares folders, fetches files from the bucket
//   sql_recovery.cc   compares folders, objects and rows
//   gathered_runs.cc  copies rows of other stores
//
// Thread-safe: one connection writes and one reads, each behind its mutex.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
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
#include <absl/time/clock.h>

#include "common/check.h"
#include "common/cpu_time.h"
#include "common/failpoint.h"
#include "common/history.h"
#include "common/mutex.h"
#include "common/resources/names.h"
#include "common/status.h"
#include "meta_learner/store/database.h"
#include "meta_learner/store/lease.h"
#include "meta_learner/store/state_folder.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

absl::StatusOr<std::string> StoreUidOf(sql::Database* database);

struct StoreDatabase {
  struct Parts {
    FolderLock lock = {};                        // Empty for readers.
    std::unique_ptr<LeaseKeeper> keeper = {};    // Null with SQLite, and for readers.
    std::unique_ptr<sql::Database> writer = {};  // A reader uses it as a second reader.
    std::unique_ptr<sql::Database> reader = {};
    std::function<void(const absl::Status&)> on_lost = {};
  };
  explicit StoreDatabase(Parts parts)
      : lock(std::move(parts.lock)),
        on_lost(std::move(parts.on_lost)),
        writer(std::move(parts.writer)),
        reader(std::move(parts.reader)),
        keeper(std::move(parts.keeper)) {}

  // Reads the identity. Must be called first.
  absl::Status Start();
  // See Store.
  absl::Status Leads() {
    if (lock.empty()) return NotLeader("");
    return keeper == nullptr ? absl::OkStatus() : keeper->Leads();
  }

  // Activity and progress of an experiment at work, as last reported.
  struct Live {
    std::string activity;
    v1::Progress progress;
  };

  // A transaction of the writer. The caller must hold writer_mutex until its end.
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
      if (on_commit_) on_commit_(SecondsSince(start_));
      return status;
    }

   private:
    const std::unique_ptr<sql::Transaction> transaction_;
    const std::chrono::steady_clock::time_point start_;
    const std::function<void(double)>& on_commit_;
    const int64_t& revision_;
  };
  absl::StatusOr<std::unique_ptr<Writing>> BeginWriting()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex) {
    if (lock.empty()) return NotLeader("");
    const auto start = std::chrono::steady_clock::now();
    auto transaction = sql::Transaction::Begin(writer.get());
    if (!transaction.ok()) {
      if (on_lost && ReasonOf(transaction.status()) == ReasonName(Reason::kInUse))
        on_lost(transaction.status());
      return transaction.status();
    }
    last_revision = 0;
    return std::make_unique<Writing>(*std::move(transaction), start, on_commit, last_revision);
  }

  // Unix time.
  static int64_t NowNs() { return absl::GetCurrentTimeNanos(); }

  // Returns the experiment of a row of sql::Select, with the state that is only in
  // memory. Returns DATA_LOSS when the row is not as it was written.
  absl::StatusOr<v1::Experiment> FromRow(const sql::Query& row);
  absl::StatusOr<v1::Experiment> GetWith(sql::Database* database, const std::string& id);
  absl::StatusOr<v1::Experiment> GetByUid(sql::Database* database, std::string_view uid);
  // Reads a row. Returns false if the row is unreadable, which is logged once; returns other
  // errors.
  absl::StatusOr<bool> Read(const sql::Query& row, v1::Experiment* experiment);
  // Returns the readable experiments of a query of sql::Select with bound values.
  absl::StatusOr<std::vector<v1::Experiment>> ReadAll(sql::Query* row);
  static absl::StatusOr<int64_t> RevisionOf(sql::Database* database);
  std::optional<Live> LiveOf(const std::string& id);
  // Returns the UIDs of deleted experiments whose files are not all removed, in order.
  absl::StatusOr<std::vector<std::string>> Deletions();

  // ---- These must run within a transaction.

  absl::StatusOr<int64_t> NextRevision() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex);
  // Inserts a row from these fields only: uid, name, spec as submitted, state, progress,
  // create_time, owner, priority, deadline, and fields without a column.
  absl::Status InsertRow(const v1::Experiment& row, int64_t now_ns, int64_t revision)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex);
  absl::Status WriteEvent(StoreEvent::Kind kind, int64_t revision, int64_t now_ns,
                          const v1::Experiment& experiment)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex);
  // A checkpoint whose row was damaged becomes pinned, since it may have been.
  absl::Status WriteCheckpointRow(std::string_view uid, const CheckpointInfo& info)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex);
  // True also if the row is damaged; false if there is none.
  absl::StatusOr<bool> IsPinned(std::string_view uid, uint32_t step)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex);
  // Leaves a damaged row as it is.
  absl::Status SetPinned(std::string_view uid, uint32_t step, bool pinned)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex);

  // Fixed after Start; the objects do their own locking.
  const FolderLock lock;
  const std::function<void(const absl::Status&)> on_lost;
  const std::shared_ptr<ChangeHub> hub = std::make_shared<ChangeHub>();
  std::string store_uid;
  std::atomic<uint64_t> replay_mismatches = 0;
  // Held for a whole transaction, including its sync. Never acquired while another mutex is held.
  Mutex writer_mutex;
  const std::unique_ptr<sql::Database> writer ABSL_PT_GUARDED_BY(writer_mutex);
  std::function<void(double)> on_commit ABSL_GUARDED_BY(writer_mutex);
  // Revision of the open or last transaction; 0: none.
  int64_t last_revision ABSL_GUARDED_BY(writer_mutex) = 0;
  // Separate, so that readers do not wait for syncs.
  Mutex reader_mutex;
  const std::unique_ptr<sql::Database> reader ABSL_PT_GUARDED_BY(reader_mutex);
  Mutex live_mutex;
  std::map<std::string, Live> live ABSL_GUARDED_BY(live_mutex);  // By id.
  std::set<std::string> unreadable ABSL_GUARDED_BY(live_mutex);  // Ids that were logged.
  // Declared after writer, so that the beats end before the session that has the lock.
  const std::unique_ptr<LeaseKeeper> keeper;
};

}  // namespace mentor::meta_learner
