// Files of experiments for users: lists, and downloads that can be resumed. Threads may share.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/streams.h"

namespace mentor::meta_learner {

// Everything below the experiment's folder but checkpoints and what is being written, by name.
absl::StatusOr<std::vector<v1::Artifact>> ListArtifacts(const std::filesystem::path& folder,
                                                        const std::string& experiment);

// Where a listed artifact lies.
std::filesystem::path ArtifactPath(const std::filesystem::path& folder, const std::string& name);

// Pieces of at most 1 MiB from `offset` on, then the hash of the whole. OUT_OF_RANGE when the file
// is shorter than the offset.
absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> Download(
    const std::filesystem::path& file, uint64_t offset);

}  // namespace mentor::meta_learner
