// The tables of the store, and the migration of older ones.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>

#include "meta_learner/store/database.h"

namespace mentor::meta_learner::sql {

// Returns the schema version that this program reads and writes.
int SchemaVersionKnown();

// Checks the schema for a reader. Returns UNAVAILABLE while the tables are missing or too old for
// this program, and TOO_NEW as Migrate does.
absl::Status CheckSchema(Database* database);

// Migrates forward only, one transaction per version. Copies an SQLite file to
// "FOLDER/mentor.db.vN" before it changes; the operator must back up other databases. Returns
// FAILED_PRECONDITION TOO_NEW when a newer program wrote the database.
absl::Status Migrate(Database* database, const std::filesystem::path& folder);

// A table and its columns. Tables() returns them in an order in which rows can be copied.
struct Table {
  std::string_view name;
  std::string_view columns;  // "uid, id, ..."
  std::string_view types;    // By column: i integer, r real, t text, b blob.
  // Columns that name one row, where rows have a digest (row_digest.h) as last column.
  std::string_view key = "";
};
const std::vector<Table>& Tables();
const Table& TableOf(std::string_view name);
// "SELECT <all columns> FROM <table> <condition>"
std::string Select(std::string_view table, std::string_view condition);

// Binds a column of a row to the next value of another query, by its type in Table.
void BindValue(char type, const Query& row, int column, Query* to);
// Copies the rows of a table whose column `key` has this value, all rows without a key. Must run
// within transactions of both databases.
absl::Status CopyRows(const Table& table, std::string_view key, std::string_view value,
                      Database* from, Database* to);

}  // namespace mentor::meta_learner::sql
