#include "meta_learner/store/sql_rows.h"

#include <utility>

#include <absl/strings/escaping.h>
#include <absl/strings/str_format.h>
#include <google/protobuf/util/time_util.h>

#include "common/printable.h"
#include "common/resources/names.h"
#include "common/resources/states.h"
#include "common/status.h"
#include "meta_learner/store/row_digest.h"
#include "meta_learner/store/schema.h"

namespace mentor::meta_learner::sql {
namespace {

using S = v1::Experiment;
using google::protobuf::util::TimeUtil;

// Columns of the table, in its order (schema.cc).
enum : int {
  kSubmittedSpec = kIdColumn + 1,
  kSpec,
  kSpecHash,
  kState,
  kError,
  kProgress,
  kCreateTime,
  kUpdateTime,
  kStartTime,
  kEndTime,
  kRevision,
  kOwner,
  kPriority,
  kDeadline,
  kExpireTime,
  kServedEnvSteps,
  kDetails,
};

const Table& Experiments() {
  static const Table& table = TableOf("experiments");
  return table;
}

}  // namespace

absl::StatusOr<v1::Experiment> ExperimentOf(const Query& row) {
  const std::string id = row.Text(kIdColumn);
  const auto damaged = [&](std::string_view why) {
    return MakeError(
        Reason::kDataLoss,
        absl::StrFormat(
            "the row of experiments/%s in the database %s; restore the state from a backup, "
            "or stop the meta-learner and run 'mentor-meta-learner --state DIR "
            "reindex', which takes what the experiment's folder has",
            Printable(id), why));
  };
  if (!IsProved(Experiments(), row))
    return damaged("is damaged: its SHA-256 is not the one that was written with it");
  v1::Experiment experiment;
  if (!experiment.ParseFromString(row.Text(kDetails)) ||
      !experiment.mutable_spec()->ParseFromString(row.Text(kSpec)) ||
      !experiment.mutable_progress()->ParseFromString(row.Text(kProgress)))
    return damaged("cannot be read");
  experiment.set_uid(row.Text(kUidColumn));
  experiment.set_name(ExperimentName(id));
  experiment.set_state(static_cast<ExperimentState>(row.Integer(kState)));
  // Schema version 1 kept the error as a sentence.
  if (const std::string error = row.Text(kError); !error.empty() && !experiment.has_error())
    *experiment.mutable_error() = StatusToProto(absl::UnknownError(error));
  const auto set_time = [&](int column, auto member) {
    if (row.Integer(column) != 0)
      *(experiment.*member)() = TimeUtil::NanosecondsToTimestamp(row.Integer(column));
  };
  set_time(kCreateTime, &S::mutable_create_time);
  set_time(kUpdateTime, &S::mutable_update_time);
  set_time(kStartTime, &S::mutable_start_time);
  set_time(kEndTime, &S::mutable_end_time);
  experiment.set_etag(EtagOf(row.Integer(kRevision)));
  experiment.set_owner(row.Text(kOwner));
  experiment.set_priority(static_cast<v1::Priority>(row.Integer(kPriority)));
  set_time(kDeadline, &S::mutable_deadline);
  set_time(kExpireTime, &S::mutable_expire_time);
  experiment.set_served_env_steps(static_cast<uint64_t>(row.Integer(kServedEnvSteps)));
  if (experiment.weight() == 0) experiment.set_weight(1);
  if (experiment.display_name().empty())
    experiment.set_display_name(experiment.spec().display_name());
  return experiment;
}

RowSpecs SpecsOf(const Query& row) {
  return {.submitted = row.Text(kSubmittedSpec),
          .merged = row.Text(kSpec),
          .hash = row.Text(kSpecHash)};
}

std::string OwnerOf(const Query& row) {
  return row.Text(kOwner);
}

absl::Status SealExperiment(std::string_view uid, Database* database) {
  return Seal(Experiments(), {std::string(uid)}, database);
}

v1::Experiment DetailsOf(const v1::Experiment& experiment) {
  v1::Experiment details;
  details.set_display_name(experiment.display_name());
  *details.mutable_labels() = experiment.labels();
  details.set_weight(experiment.weight());
  if (experiment.has_retention()) *details.mutable_retention() = experiment.retention();
  details.set_retries_max(experiment.retries_max());
  details.set_retries(experiment.retries());
  details.set_preemptions(experiment.preemptions());
  details.set_pause_reason(experiment.pause_reason());
  details.set_source_checkpoint(experiment.source_checkpoint());
  if (experiment.has_error()) *details.mutable_error() = experiment.error();
  *details.mutable_warnings() = experiment.warnings();
  return details;
}

absl::Status WritePoint(std::string_view uid, std::string_view metric, int64_t step, double value,
                        int64_t crc, Database* database) {
  return database->Run(
      "INSERT INTO points(uid, metric, step, value, crc32c) VALUES(?, ?, ?, ?, ?) ON CONFLICT(uid, "
      "metric, step) DO UPDATE SET value = excluded.value, crc32c = excluded.crc32c",
      uid, metric, step, value, crc);
}

std::string EtagOf(int64_t revision) {
  return "W/" + absl::WebSafeBase64Escape(std::to_string(revision));
}

int64_t Nanoseconds(bool has, const google::protobuf::Timestamp& time) {
  return has ? TimeUtil::TimestampToNanoseconds(time) : 0;
}

absl::Status NoSuchExperiment(std::string_view name) {
  const std::string shown(name.substr(0, 100));
  return MakeError(Reason::kNotFound, absl::StrFormat("there is no experiment '%s'", shown),
                   {{"name", shown}});
}

absl::StatusOr<std::string> RequireId(std::string_view name) {
  auto id = ExperimentIdOf(name);
  if (!id) return NoSuchExperiment(name);
  return *std::move(id);
}

}  // namespace mentor::meta_learner::sql
