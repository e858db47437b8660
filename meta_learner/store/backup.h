// Backups of a meta-learner's state: a folder with the database as one SQLite file, the files of
// all experiments, and a manifest of hashes. A backup may be taken while a meta-learner works; it
// is of one moment, and experiments that were at work go on from their newest checkpoint in it. It
// is restored into any database that the store knows, so it also moves a state from SQLite to
// PostgreSQL and back.
//
//   BACKUP/
//     FORMAT                  "mentor-backup 1", written last
//     MANIFEST                SHA-256 and name of every file
//     mentor.db
//     experiments/UID/...
#pragma once

#include <cstdint>
#include <filesystem>

#include <absl/status/statusor.h>

#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

struct BackupSummary {
  int64_t experiments = 0;
  int64_t files = 0;
  uint64_t bytes = 0;
};

// FAILED_PRECONDITION when the folder holds something already, or the state is of another schema
// version. What a failure leaves behind has no FORMAT and is refused by Restore.
absl::StatusOr<BackupSummary> BackUp(const StoreOptions& source,
                                     const std::filesystem::path& folder);

// Checks every hash first, then fills a new state folder (and an empty database). DATA_LOSS names
// the file that is not what was written. Watchers of the old state have to list again.
absl::StatusOr<BackupSummary> Restore(const std::filesystem::path& folder,
                                      const StoreOptions& target);

}  // namespace mentor::meta_learner
