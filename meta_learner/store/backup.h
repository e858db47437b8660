// Backups of a meta-learner's state: a folder with the database as one SQLite file, the files of
// all experiments and bundles, and a manifest of hashes. A backup may be taken while a meta-learner
// works; it is of one moment, and experiments that were at work go on from their newest checkpoint
// in it. It is restored into any database that the store knows, so it also moves a state from
// SQLite to PostgreSQL and back.
//
//   BACKUP/
//     FORMAT                  "mentor-backup 1", written last
//     MANIFEST                SHA-256 and name of every file
//     mentor.db
//     experiments/UID/...
//     bundles/...
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

using Manifest = std::map<std::string, std::string>;  // SHA-256 in hex, by name.

// Names are relative and stay inside of the backup, each is there once; else DATA_LOSS.
absl::StatusOr<Manifest> ParseManifest(std::string_view text);

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
