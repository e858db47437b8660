// Converts experiments to rows of the database and back, if the rows are proved (row_digest.h).
// Fields that queries use have columns; the others are in `details`. Queries, and state that is
// only in memory, are in store_database.h. Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <google/protobuf/message.h>

#include "mentor/v1/experiment.pb.h"
#include "meta_learner/store/database.h"

namespace mentor::meta_learner::sql {

// Columns of a row of experiments that also damaged rows may be named by.
inline constexpr int kUidColumn = 1, kIdColumn = 2;

// Converts a row to an experiment. Returns DATA_LOSS when the row is not as it was written.
absl::StatusOr<v1::Experiment> ExperimentOf(const Query& row);
// Specs of a row that ExperimentOf has converted: as submitted, with every default, and the hash.
struct RowSpecs {
  std::string submitted, merged, hash;
};
RowSpecs SpecsOf(const Query& row);
std::string OwnerOf(const Query& row);

// Writes the digest of the row; must follow each change of it.
absl::Status SealExperiment(std::string_view uid, Database* database);

// Returns the fields of the resource that have no column.
v1::Experiment DetailsOf(const v1::Experiment& experiment);

// Writes a row of `points`, or replaces it.
absl::Status WritePoint(std::string_view uid, std::string_view metric, int64_t step, double value,
                        int64_t crc, Database* database);

// Returns the etag of an experiment that changed at this revision.
std::string EtagOf(int64_t revision);

// Returns a time as columns hold it, in nanoseconds; 0: none.
int64_t Nanoseconds(bool has, const google::protobuf::Timestamp& time);

// Returns the id in "experiments/{id}". Returns NOT_FOUND for other names, as for a missing row.
absl::StatusOr<std::string> RequireId(std::string_view name);
absl::Status NoSuchExperiment(std::string_view name);

}  // namespace mentor::meta_learner::sql
