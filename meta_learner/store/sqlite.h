// SQLite behind the store's Database: a file of the state folder.
#pragma once

#include <filesystem>
#include <memory>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "meta_learner/store/database.h"

namespace mentor::meta_learner::sql {

// Opens or creates the file (a reader: opens only). Nobody but the user may read it and what SQLite
// writes beside it, also where an older version left more rights.
absl::StatusOr<std::unique_ptr<Database>> OpenSqlite(const std::filesystem::path& path,
                                                     bool read_only);

// Before SQLite writes a file by itself: it is there, empty or as it was, with mode 0600.
absl::Status MakePrivate(const std::filesystem::path& path);

}  // namespace mentor::meta_learner::sql
