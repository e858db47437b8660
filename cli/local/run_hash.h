// The hash of a run folder. Reads only: no file is moved, removed or made. Functions without state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <absl/status/statusor.h>

namespace mentor {

// The hash of `mentor hash`: the state in the newest intact checkpoint of the experiment and spec
// in whose folder it lies (signal network, optimizer, normalisers, best weights).
struct RunHash {
  std::string state_hash = {};
  uint32_t outer_step = 0;
  std::filesystem::path checkpoint = {};
  std::string build = {};  // The version of Mentor that wrote it.
  // What is wrong with newer checkpoints, one per line: damaged, of something else, or missing.
  std::string damaged = {};
};
// Takes paths as FindRun does.
absl::StatusOr<RunHash> HashRun(const std::filesystem::path& folder);
// Warns on stderr when the hash is not that of the newest checkpoint, and says why.
void WarnOfDamage(const RunHash& hash);

}  // namespace mentor
