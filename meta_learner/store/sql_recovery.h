// Compares the folders below experiments/, the objects of a bucket and the rows of the database, at
// a start and for Reindex. For one thread.
#pragma once

#include <atomic>
#include <set>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "meta_learner/store/database.h"
#include "meta_learner/store/store.h"
#include "meta_learner/store/store_database.h"

namespace mentor::meta_learner {

// What the files of an experiment, and its damaged row, still say it is (remembered.cc). Chooses
// the spec that other stored bytes prove.
class Remembered {
 public:
  explicit Remembered(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Reads the files; damaged ones are only noted. Returns other errors.
  absl::Status ReadFolder();
  // Reads a row of the experiment that is not as it was written.
  void ReadRow(const sql::Query& row);
  // Returns name, owner, settings and the spec: the one with the hash of the checkpoints, else the
  // one that its file proves, else the one that most places have. Says in `from` which it is. With
  // an empty hash there are no checkpoints. Returns DATA_LOSS when nothing proves a spec.
  absl::StatusOr<v1::Experiment> Choose(const std::string& checkpoint_hash,
                                        std::string* from) const;

 private:
  struct Candidate {
    std::string place;  // For people.
    v1::ExperimentSpec spec;
    std::string hash;
    bool sealed = false;
  };
  void Add(const std::string& place, const v1::ExperimentSpec& spec, bool sealed = false);
  // Returns null when no candidate has the hash.
  const Candidate* With(const std::string& hash) const;
  // Returns the hash that most places have; empty when two have it equally often.
  std::string CommonHash() const;
  absl::Status NothingProves(const std::string& checkpoint_hash) const;

  const std::filesystem::path folder_;
  // Everything but the spec. From the folder's file, if it can be read, else from the row.
  v1::Experiment about_;
  std::string damage_;  // What is wrong with the file; empty: nothing, or it is missing.
  bool is_from_row_ = false;
  std::vector<Candidate> candidates_;
  std::string row_hash_;  // What the row says is its spec's; empty: no row.
};

class Recovery {
 public:
  Recovery(StoreDatabase* database, RunFiles* files) : database_(database), files_(files) {}

  // Removes what interrupted creations left. If folders_need_rows, folders and objects without a
  // row are an error. Logs lost checkpoints.
  absl::Status Check(bool folders_need_rows);
  // Does the work of Reindex, once the folder is taken.
  absl::StatusOr<std::vector<Reindexed>> BringBack();

 private:
  // Returns the UIDs of experiment folders without a row, in order.
  absl::StatusOr<std::vector<std::string>> FoldersWithoutRow();
  absl::StatusOr<std::set<std::string>> UidsOfRows();
  // Removes folders left by interrupted creations, from the disk and from the list.
  absl::Status RemoveLeftByCreate(std::vector<std::string>* without_row);
  // True for a damaged row whose UID leads to no folder.
  bool IsGhost(const sql::Query& row) const;
  // Drops folders from the list, and logs them, whose row is a ghost of the same name: one damaged
  // row does not keep the others from starting.
  absl::Status LeaveOutGhosts(std::vector<std::string>* without_row);
  // Returns DATA_LOSS and logs each UID, unless the list is empty.
  absl::Status RefuseWithoutRow(const std::vector<std::string>& without_row) const;
  // Returns the UIDs of experiments in the bucket without a row or pending deletion, in order.
  absl::StatusOr<std::vector<std::string>> ObjectsWithoutRow(const std::atomic<bool>* cancel);
  absl::Status RefuseObjectsWithoutRow();
  // Fetches what BringBackOne needs into the folders of such experiments.
  absl::Status FetchFoldersWithoutRow();
  // The whole checkpoints of folder and bucket.
  struct Checkpoints {
    std::vector<CheckpointInfo> infos;
    std::string spec_hash;  // Empty: there are none, or only in the bucket.
  };
  // Returns DATA_LOSS when they are of different specs.
  absl::StatusOr<Checkpoints> CheckpointsOf(const std::string& uid);
  // Logs each experiment whose checkpoints have rows but no folder.
  absl::Status NameLostCheckpoints();
  // Returns the UIDs of unreadable rows that have a folder.
  absl::StatusOr<std::vector<std::string>> RowsUnreadable();
  // Writes a new row for one folder whose row is missing or unreadable.
  absl::Status BringBackOne(Reindexed* one, bool has_row);
  // Writes the row of an experiment, and gives it a name that no other one has.
  absl::StatusOr<v1::Experiment> WriteRow(v1::Experiment row, bool has_row,
                                          const std::vector<CheckpointInfo>& infos);
  // Returns the name that a restored experiment gets. An unreadable row without a folder does not
  // keep a name, and is removed.
  absl::StatusOr<std::string> NameFor(const v1::Experiment& row)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(database_->writer_mutex);

  StoreDatabase* const database_;
  RunFiles* const files_;
};

}  // namespace mentor::meta_learner
