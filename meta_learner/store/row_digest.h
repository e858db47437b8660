// Proofs that rows of the database are as the store wrote them. A table with a key (schema.h) has a
// digest as last column: SHA-256 of the other columns. Rows of `points` are many, and have a
// CRC32C. Functions are pure, or must run within a transaction; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "meta_learner/store/database.h"
#include "meta_learner/store/schema.h"

namespace mentor::meta_learner::sql {

// Values of the columns of Table::key.
using RowKey = std::vector<std::variant<int64_t, std::string>>;

absl::StatusOr<std::vector<RowKey>> KeysOf(const Table& table, Database* database);

// True if the row's digest fits. `row` must have all columns of the table, from its first on.
bool IsProved(const Table& table, const Query& row);

// Writes the digest of one row as it is now. Call after each change of a row that was proved before
// the change.
absl::Status Seal(const Table& table, const RowKey& key, Database* database);

int64_t PointCrc(std::string_view uid, std::string_view metric, int64_t step, double value);
// True if it fits. Points of versions without it have -1, and are believed.
bool IsProvedPoint(int64_t crc, std::string_view uid, std::string_view metric, int64_t step,
                   double value);

}  // namespace mentor::meta_learner::sql
