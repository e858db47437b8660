// SQLite implementation of the store's Database: a file of the state folder.
#pragma once

#include <filesystem>
#include <memory>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "meta_learner/store/database.h"

namespace mentor::meta_learner::sql {

// Opens or creates the file; a reader only opens it. A writer makes the file and SQLite's files
// beside it readable by the user only, even where an older version left more rights.
absl::StatusOr<std::unique_ptr<Database>> OpenSqlite(const std::filesystem::path& path,
                                                     bool read_only);

// Opens a file for a short look, whether or not a process works on it, and makes no files beside
// it. Do not keep it open: what it reads may be wrong once a writer begins.
absl::StatusOr<std::unique_ptr<Database>> OpenSqliteToLook(const std::filesystem::path& path);

// Makes sure that a file exists with mode 0600, without changing its contents. Call before SQLite
// creates the file.
absl::Status MakePrivate(const std::filesystem::path& path);

}  // namespace mentor::meta_learner::sql
