// Backups of a meta-learner's state. A backup is a folder with the database as one SQLite file, the
// files of all experiments and bundles, and a manifest of hashes. A backup may be taken while a
// meta-learner runs. It shows one moment; running experiments continue from their newest checkpoint
// in the backup. A backup can be restored into any database that the store supports, so it also
// moves a state from SQLite to PostgreSQL and back.
//
//   BACKUP/
//     FORMAT                  "mentor-backup 2", written last
//     MANIFEST                SHA-256 and name of every file, sealed (common/sealed.h)
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

// Parses a manifest without its seal. Returns DATA_LOSS unless names are unique, relative and
// inside the backup.
absl::StatusOr<Manifest> ParseManifest(std::string_view text);

struct BackupSummary {
  int64_t experiments = 0;
  int64_t files = 0;
  uint64_t bytes = 0;
};

// Backs up a state. Returns FAILED_PRECONDITION when `folder` is not empty, or the state has
// another schema version. A failed backup has no FORMAT, so Restore refuses it.
absl::StatusOr<BackupSummary> BackUp(const StoreOptions& source,
                                     const std::filesystem::path& folder);

// Checks every hash first, then fills a new state folder (and an empty database). Returns DATA_LOSS
// with the name of a file that differs from the manifest, or when the manifest is not whole.
// Nothing proves manifests of format 1: they must name the database and its checkpoints. Watchers
// of the old state must list again.
absl::StatusOr<BackupSummary> Restore(const std::filesystem::path& folder,
                                      const StoreOptions& target);

}  // namespace mentor::meta_learner
