// Compares the folders below experiments/, the objects of a bucket and the rows of the database, at
// a start and for Reindex. For one thread.
#pragma once

#include <atomic>
#include <set>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

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

  StoreDatabase* const database_;
  RunFiles* const files_;
};

}  // namespace mentor::meta_learner
