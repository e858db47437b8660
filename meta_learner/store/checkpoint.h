// Checkpoint files. One file holds everything that the next outer updates depend on, with hashes
// that prove that it is whole. The folder is authoritative; the store's table is an index of it.
// Functions without state; only one process may write a folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/hash.h"

namespace mentor::meta_learner {

struct Checkpoint {
  std::string experiment_uid = {};
  uint32_t outer_step = 0;  // Outer updates done.
  std::string spec_hash = {};
  std::string build = {};                            // Build that wrote it, for people.
  std::map<std::string, std::string> sections = {};  // Bytes by name.
};

// A checkpoint file in a folder.
struct CheckpointInfo {
  std::filesystem::path path;
  uint32_t outer_step = 0;
  uint64_t size_bytes = 0;
  std::string sha256;      // Hexadecimal digest from the trailer.
  std::string state_hash;  // StateHash of its sections.
};

// Sections outside the hash: what the spec asks to be counted, and no later weights depend on.
inline constexpr std::string_view kAsideSections = "aside/";
// Larger files are refused unread.
inline constexpr uint64_t kCheckpointBytesMax = uint64_t{8} << 30;

// Returns the SHA-256, in hexadecimal, of the names and bytes of the sections, without
// kAsideSections. Equal states have equal hashes, whichever build wrote them.
std::string StateHash(const std::map<std::string, std::string>& sections);

// Returns "00000042.ckpt" for step 42.
std::string CheckpointFileName(uint32_t outer_step);
// The outer update whose eight digits a name begins with.
std::optional<uint32_t> StepOf(std::string_view name);

// Writes DIR/00000042.ckpt, whole or not at all. Makes DIR if it is missing.
absl::StatusOr<CheckpointInfo> WriteCheckpoint(const std::filesystem::path& dir,
                                               const Checkpoint& checkpoint);

// Reads and verifies a whole file. Returns DATA_LOSS with the error and its place when the bytes
// are not those that were written, FAILED_PRECONDITION when they are and no checkpoint of this
// program.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::filesystem::path& path,
                                          CheckpointInfo* info = nullptr);

// What a row, a manifest or a spec says of a checkpoint. What is empty is not compared.
struct ExpectedCheckpoint {
  std::string spec_hash = {};
  std::string state_hash = {};
  std::string sha256 = {};
};

// As ReadCheckpoint, for readers who go by the place of a file. Returns DATA_LOSS also for a whole
// file that is not the expected one. Its step and experiment must be those of its path,
// UID/checkpoints/00000042.ckpt; other names are not compared.
absl::StatusOr<Checkpoint> ReadCheckpointOf(const std::filesystem::path& path,
                                            const ExpectedCheckpoint& expected,
                                            CheckpointInfo* info = nullptr);

// Compares a file with its row while its bytes pass in pieces, without holding them.
class CheckpointProof {
 public:
  explicit CheckpointProof(CheckpointInfo row) : row_(std::move(row)) {}

  void Update(std::string_view bytes);
  // True if these were all bytes of the row's file. Must be the last call on this object.
  bool Holds();

 private:
  const CheckpointInfo row_;
  uint64_t left_ = row_.size_bytes;  // Bytes that have not come.
  Sha256 hash_;
  std::string seal_;  // The end, which the hash leaves out.
};

struct CorruptCheckpoint {
  std::filesystem::path path;  // Where it is now, in DIR/corrupt/.
  std::string reason;
};

struct CheckpointScan {
  std::optional<Checkpoint> newest;  // nullopt: no whole checkpoint.
  CheckpointInfo newest_info;
  std::vector<CorruptCheckpoint> corrupt;  // Moved away by this scan, newest first.
  int temporary_files_removed = 0;
};

// Finds the newest whole checkpoint, up to `outer_step_max`. Moves newer files that are damaged to
// DIR/corrupt/ and names them in the result. Removes leftovers of interrupted writes. Returns
// DATA_LOSS, and moves nothing more, when the newest whole file is of another experiment, spec or
// step: its bytes are right, so something else is wrong. Returns an error if the folder could not
// be read at all.
absl::StatusOr<CheckpointScan> FindNewestWhole(
    const std::filesystem::path& dir, std::string_view experiment_uid, std::string_view spec_hash,
    std::optional<uint32_t> outer_step_max = std::nullopt);

// Returns the steps that have a file, in increasing order, without reading the files.
absl::StatusOr<std::vector<uint32_t>> ListCheckpoints(const std::filesystem::path& dir);

// Which checkpoints to keep, beside the newest one and pinned ones.
struct CheckpointRetention {
  uint32_t keep_last = 0;   // Keep this many of the newest; 0: all.
  uint32_t keep_every = 0;  // Keep multiples of this step; 0: none.
};

// Returns the `steps` to drop unless they are pinned. `steps` must be in increasing order.
std::vector<uint32_t> DroppedCheckpoints(const std::vector<uint32_t>& steps,
                                         const CheckpointRetention& retention);
absl::Status RemoveCheckpoint(const std::filesystem::path& dir, uint32_t step);

}  // namespace mentor::meta_learner
