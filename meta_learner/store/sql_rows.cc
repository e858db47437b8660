#include "meta_learner/store/sql_rows.h"

#include <utility>

#include <absl/strings/escaping.h>
#include <absl/strings/str_format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/time_util.h>

#include "common/resources/names.h"
#include "common/resources/states.h"
#include "common/status.h"

namespace mentor::meta_learner::sql {
namespace {

using S = v1::Experiment;
using google::protobuf::util::TimeUtil;

}  // namespace

absl::StatusOr<v1::Experiment> ExperimentOf(const Query& row) {
  const std::string id = row.Text(1);
  v1::Experiment experiment;
  if (!experiment.ParseFromString(row.Text(16)) ||
      !experiment.mutable_spec()->ParseFromString(row.Text(2)) ||
      !experiment.mutable_progress()->ParseFromString(row.Text(5))) {
    return MakeError(
        absl::StatusCode::kDataLoss, Reason::kDataLoss,
        absl::StrFormat(
            "the row of experiments/%s cannot be read; restore the state from a backup, "
            "or stop the meta-learner and run 'mentor-meta-learner --state DIR "
            "reindex', which takes what the experiment's folder has",
            id));
  }
  experiment.set_uid(row.Text(0));
  experiment.set_name(ExperimentName(id));
  experiment.set_state(static_cast<ExperimentState>(row.Integer(3)));
  // Schema version 1 kept the error as a sentence.
  if (const std::string error = row.Text(4); !error.empty() && !experiment.has_error())
    *experiment.mutable_error() = StatusToProto(absl::UnknownError(error));
  const auto set_time = [&](int column, auto member) {
    if (row.Integer(column) != 0)
      *(experiment.*member)() = TimeUtil::NanosecondsToTimestamp(row.Integer(column));
  };
  set_time(6, &S::mutable_create_time);
  set_time(7, &S::mutable_update_time);
  set_time(8, &S::mutable_start_time);
  set_time(9, &S::mutable_end_time);
  experiment.set_etag(EtagOf(row.Integer(10)));
  experiment.set_owner(row.Text(11));
  experiment.set_priority(static_cast<v1::Priority>(row.Integer(12)));
  set_time(13, &S::mutable_deadline);
  set_time(14, &S::mutable_expire_time);
  experiment.set_served_env_steps(static_cast<uint64_t>(row.Integer(15)));
  if (experiment.weight() == 0) experiment.set_weight(1);
  if (experiment.display_name().empty())
    experiment.set_display_name(experiment.spec().display_name());
  return experiment;
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

std::string EtagOf(int64_t revision) {
  return "W/" + absl::WebSafeBase64Escape(std::to_string(revision));
}

std::string BytesOf(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

int64_t Nanoseconds(bool has, const google::protobuf::Timestamp& time) {
  return has ? TimeUtil::TimestampToNanoseconds(time) : 0;
}

absl::Status NoSuchExperiment(std::string_view name) {
  const std::string shown(name.substr(0, 100));
  return MakeError(absl::StatusCode::kNotFound, Reason::kNotFound,
                   absl::StrFormat("there is no experiment '%s'", shown), {{"name", shown}});
}

absl::StatusOr<std::string> RequireId(std::string_view name) {
  auto id = ExperimentIdOf(name);
  if (!id) return NoSuchExperiment(name);
  return *std::move(id);
}

}  // namespace mentor::meta_learner::sql
