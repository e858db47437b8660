// Checkpoint files: one file holds everything that the next outer updates depend on, and proves
// that it is whole. The folder is the truth; the store's table is an index of it. Functions without
// state; one process writes a folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::meta_learner {

struct Checkpoint {
  std::string experiment_uid = {};
  uint32_t outer_step = 0;  // Outer updates done.
  std::string spec_hash = {};
  std::string build = {};                            // Program that wrote it, for people.
  std::map<std::string, std::string> sections = {};  // Bytes by name.
};

// A file of the folder.
struct CheckpointInfo {
  std::filesystem::path path;
  uint32_t outer_step = 0;
  uint64_t size_bytes = 0;
  std::string sha256;      // Hexadecimal; the digest in the trailer, of all bytes before it.
  std::string state_hash;  // StateHash of its sections.
};

// SHA-256, in hexadecimal, over names and bytes of the sections: equal for equal state, whoever
// wrote it.
std::string StateHash(const std::map<std::string, std::string>& sections);

// "00000042.ckpt"
std::string CheckpointFileName(uint32_t outer_step);

// Writes DIR/00000042.ckpt, whole or not at all; makes DIR when it is missing.
absl::StatusOr<CheckpointInfo> WriteCheckpoint(const std::filesystem::path& dir,
                                               const Checkpoint& checkpoint);

// Reads and verifies everything. DATA_LOSS says what is wrong and where.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::filesystem::path& path,
                                          CheckpointInfo* info = nullptr);

struct CorruptCheckpoint {
  std::filesystem::path path;  // Where it is now, in DIR/corrupt/.
  std::string reason;
};

struct CheckpointScan {
  std::optional<Checkpoint> newest;  // Nothing: no whole one.
  CheckpointInfo newest_info;
  std::vector<CorruptCheckpoint> corrupt;  // Moved away by this scan, newest first.
  int temporary_files_removed = 0;
};

// The newest whole checkpoint of this experiment and spec. Newer ones that are not whole, or belong
// to something else, are moved to DIR/corrupt/ and named in the answer; leftovers of interrupted
// writes are removed. An error means that the folder could not be read at all. `outer_step_max`
// looks for an older one.
absl::StatusOr<CheckpointScan> FindNewestWhole(
    const std::filesystem::path& dir, std::string_view experiment_uid, std::string_view spec_hash,
    std::optional<uint32_t> outer_step_max = std::nullopt);

// Steps with a file, in increasing order, unread.
absl::StatusOr<std::vector<uint32_t>> ListCheckpoints(const std::filesystem::path& dir);

// Which checkpoints stay, beside the newest one and those that are pinned.
struct CheckpointRetention {
  uint32_t keep_last = 0;   // The newest ones; 0: all.
  uint32_t keep_every = 0;  // Those of outer updates that are multiples of this; 0: none.
};

// Those of `steps`, in increasing order, that do not stay unless they are pinned.
std::vector<uint32_t> DroppedCheckpoints(const std::vector<uint32_t>& steps,
                                         const CheckpointRetention& retention);
absl::Status RemoveCheckpoint(const std::filesystem::path& dir, uint32_t step);

}  // namespace mentor::meta_learner
