#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <google/protobuf/util/time_util.h>

#include "common/check.h"
#include "common/resources/names.h"
#include "common/status.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/control/request_checks.h"
#include "meta_learner/store/paging.h"

namespace mentor::meta_learner {
namespace {

v1::Checkpoint ToResource(const std::string& experiment, const CheckpointRow& row) {
  v1::Checkpoint checkpoint;
  checkpoint.set_name(CheckpointName(experiment, row.outer_step));
  checkpoint.set_outer_step(row.outer_step);
  checkpoint.set_size_bytes(row.size_bytes);
  checkpoint.set_sha256(row.sha256);
  checkpoint.set_state_hash(row.state_hash);
  *checkpoint.mutable_create_time() =
      google::protobuf::util::TimeUtil::NanosecondsToTimestamp(row.create_time_ns);
  checkpoint.set_pinned(row.pinned);
  checkpoint.set_etag(absl::StrCat("W/", row.pinned ? "1" : "0", row.sha256.substr(0, 16)));
  return checkpoint;
}

}  // namespace

absl::StatusOr<std::pair<v1::Experiment, CheckpointRow>> FindCheckpoint(Records* records,
                                                                        Results* results,
                                                                        const std::string& name,
                                                                        const char* field) {
  const auto parsed = ParseCheckpointName(name);
  if (!parsed)
    return BadName(field, name, "experiments/{experiment}/checkpoints/{outer update, 8 digits}");
  MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, records->Get(parsed->first));
  MENTOR_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> rows,
                          results->Checkpoints(experiment.uid()));
  for (const CheckpointRow& row : rows) {
    if (row.outer_step == parsed->second) return std::pair(std::move(experiment), row);
  }
  return MakeError(Reason::kNotFound, absl::StrFormat("there is no %s", name), {{"name", name}});
}

absl::StatusOr<v1::ListCheckpointsResponse> ListCheckpoints(
    Records* records, Results* results, const v1::ListCheckpointsRequest& request) {
  Violations violations;
  const int page_size = PageSize(request.page_size(), &violations);
  const auto after = ParseCheckpointName(request.page_token());
  if (!request.page_token().empty() && (!after || after->first != request.parent())) {
    return MakeError(Reason::kPageTokenMismatch,
                     "page_token belongs to another experiment; leave it out to begin with the "
                     "first page");
  }
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, records->Get(request.parent()));
  MENTOR_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> rows,
                          results->Checkpoints(experiment.uid()));
  v1::ListCheckpointsResponse response;
  PageRoom room(page_size);
  for (const CheckpointRow& row : rows) {
    if (after && row.outer_step <= after->second) continue;
    v1::Checkpoint checkpoint = ToResource(experiment.name(), row);
    if (!room.Take(checkpoint.ByteSizeLong())) {
      response.set_next_page_token(response.checkpoints().rbegin()->name());
      break;
    }
    *response.add_checkpoints() = std::move(checkpoint);
  }
  return response;
}

absl::StatusOr<v1::Checkpoint> GetCheckpoint(Records* records, Results* results,
                                             const v1::GetCheckpointRequest& request) {
  MENTOR_ASSIGN_OR_RETURN(const auto found,
                          FindCheckpoint(records, results, request.name(), "name"));
  return ToResource(found.first.name(), found.second);
}

absl::StatusOr<v1::Checkpoint> UpdateCheckpoint(Records* records, Results* results,
                                                const v1::UpdateCheckpointRequest& request,
                                                const rpc::Caller& caller) {
  Violations violations;
  for (const std::string& path : request.update_mask().paths()) {
    if (path != "pinned") {
      violations.Add("update_mask", absl::StrFormat("has '%s'; only 'pinned' can be changed",
                                                    path.substr(0, 100)));
    }
  }
  if (request.update_mask().paths().empty())
    violations.Add("update_mask", "is empty; give 'pinned'");
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  const v1::Checkpoint& wanted = request.checkpoint();
  MENTOR_ASSIGN_OR_RETURN(const auto found,
                          FindCheckpoint(records, results, wanted.name(), "checkpoint.name"));
  MENTOR_RETURN_IF_ERROR(CheckOwner(caller, found.first));
  const v1::Checkpoint before = ToResource(found.first.name(), found.second);
  MENTOR_RETURN_IF_ERROR(CheckEtag(before.name(), wanted.etag(), before.etag()));
  MENTOR_ASSIGN_OR_RETURN(
      const CheckpointRow row,
      results->PinCheckpoint(found.first.uid(), found.second.outer_step, wanted.pinned()));
  return ToResource(found.first.name(), row);
}

absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> DownloadCheckpoint(
    Store* store, const v1::DownloadRequest& request, const std::atomic<bool>* cancel) {
  MENTOR_ASSIGN_OR_RETURN(const auto found,
                          FindCheckpoint(&store->records, &store->results, request.name(), "name"));
  MENTOR_ASSIGN_OR_RETURN(
      const std::filesystem::path file,
      store->files.OpenCheckpoint(found.first.uid(), found.second.outer_step, cancel));
  return Download(file, request.offset(), &found.second);
}

}  // namespace mentor::meta_learner
