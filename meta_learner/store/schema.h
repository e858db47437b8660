// The tables of the store and how older ones become today's.
#pragma once

#include <filesystem>

#include <absl/status/status.h>

#include "meta_learner/store/database.h"

namespace mentor::meta_learner::sql {

// What this program writes and reads.
int SchemaVersionKnown();

// For who only reads: UNAVAILABLE while the tables are not there or older than this program reads,
// TOO_NEW as with Migrate.
absl::Status CheckSchema(Database* database);

// Forward only, one transaction a version. An SQLite file that changes is copied to
// "FOLDER/mentor.db.vN" first; of other databases the operator has a backup. FAILED_PRECONDITION
// TOO_NEW when a newer program wrote it.
absl::Status Migrate(Database* database, const std::filesystem::path& folder);

// Tables in an order in which rows can be copied, with their columns.
struct Table {
  std::string_view name;
  std::string_view columns;  // "uid, id, ..."; their types: i integer, r real, t text, b blob.
  std::string_view types;
};
const std::vector<Table>& Tables();

}  // namespace mentor::meta_learner::sql
