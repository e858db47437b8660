// Files of experiments for users: lists, and downloads that can be resumed. Not for checkpoints
// (checkpoints.h), whose files are downloaded in the same way. Threads may share.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>

#include <absl/status/statusor.h>

#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/streams.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// Everything below the experiment's folder but checkpoints and what is being written, by name.
// `cancel`, of both, interrupts what waits for the bucket.
absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(ExperimentStore* store,
                                                        const v1::ListArtifactsRequest& request,
                                                        const std::atomic<bool>* cancel);
absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> DownloadArtifact(
    ExperimentStore* store, const v1::DownloadRequest& request, const std::atomic<bool>* cancel);

// Pieces of at most 1 MiB from `offset` on, then the hash of the whole. OUT_OF_RANGE when the file
// is shorter than the offset.
absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> Download(
    const std::filesystem::path& file, uint64_t offset);

}  // namespace mentor::meta_learner
