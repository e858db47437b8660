// SQLite behind the store's Database: a file of the state folder.
#pragma once

#include <filesystem>
#include <memory>

#include <absl/status/statusor.h>

#include "meta_learner/store/database.h"

namespace mentor::meta_learner::sql {

// Opens or creates the file (a reader: opens only).
absl::StatusOr<std::unique_ptr<Database>> OpenSqlite(const std::filesystem::path& path,
                                                     bool read_only);

}  // namespace mentor::meta_learner::sql
