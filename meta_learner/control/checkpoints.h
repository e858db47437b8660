// Checkpoints in the control API: lists, lookups, pins and downloads. store/checkpoint.h defines
// the contents of a checkpoint. Functions of store and request; thread-safe.
#pragma once

#include <atomic>
#include <string>
#include <utility>

#include <absl/status/statusor.h>

#include "common/rpc/auth.h"
#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/streams.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// Returns the checkpoint of this name and its experiment. `field` is the request's field that holds
// the name, for errors.
absl::StatusOr<std::pair<v1::Experiment, CheckpointRow>> FindCheckpoint(Records* records,
                                                                        Results* results,
                                                                        const std::string& name,
                                                                        const char* field);

absl::StatusOr<v1::ListCheckpointsResponse> ListCheckpoints(
    Records* records, Results* results, const v1::ListCheckpointsRequest& request);
absl::StatusOr<v1::Checkpoint> GetCheckpoint(Records* records, Results* results,
                                             const v1::GetCheckpointRequest& request);
absl::StatusOr<v1::Checkpoint> UpdateCheckpoint(Records* records, Results* results,
                                                const v1::UpdateCheckpointRequest& request,
                                                const rpc::Caller& caller);
// `cancel` interrupts the fetch from the bucket.
absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> DownloadCheckpoint(
    Store* store, const v1::DownloadRequest& request, const std::atomic<bool>* cancel);

}  // namespace mentor::meta_learner
