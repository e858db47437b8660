// Files of experiments in the control API: lists, and downloads that can be resumed. Checkpoints
// have checkpoints.h, and use Download too. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>

#include <absl/status/statusor.h>

#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/streams.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// Lists by name all files in the experiment's folder or bucket, except checkpoints and unfinished
// files. In both functions `cancel` interrupts a wait for the bucket.
absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(Records* records, RunFiles* files,
                                                        const v1::ListArtifactsRequest& request,
                                                        const std::atomic<bool>* cancel);
absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> DownloadArtifact(
    Records* records, RunFiles* files, const v1::DownloadRequest& request,
    const std::atomic<bool>* cancel);

// Streams pieces of at most 1 MiB from `offset` on, then the hash of the whole file. Returns a
// violation of "offset" when the file is shorter.
absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> Download(
    const std::filesystem::path& file, uint64_t offset);

}  // namespace mentor::meta_learner
