// Experiments as rows of the database, and back. The resource's fields stand in columns where
// queries look at them, and in `details` otherwise. Not for queries, nor for what is only in memory
// (sql_store.h). Pure functions; threads may share.
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

// What a SELECT for ExperimentOf asks for.
inline constexpr char kExperimentColumns[] =
    "uid, id, spec, state, error, progress, create_time, update_time, start_time, end_time, "
    "revision, owner, priority, deadline, expire_time, served_env_steps, details";

// DATA_LOSS when the row cannot be read.
absl::StatusOr<v1::Experiment> ExperimentOf(const Query& row);

// Fields of the resource that have no column.
v1::Experiment DetailsOf(const v1::Experiment& experiment);

// What a change of this revision is known by.
std::string EtagOf(int64_t revision);

// Equal messages have equal bytes: maps are in one order.
std::string BytesOf(const google::protobuf::Message& message);

// As columns have it: 0 for none.
int64_t Nanoseconds(bool has, const google::protobuf::Timestamp& time);

// The id in "experiments/{id}"; for all other names NOT_FOUND, as for one without a row.
absl::StatusOr<std::string> RequireId(std::string_view name);
absl::Status NoSuchExperiment(std::string_view name);

}  // namespace mentor::meta_learner::sql
