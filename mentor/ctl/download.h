// Fetches a checkpoint or an artifact into a file. What has come is kept in FILE.part, so that the
// next attempt, or the next start of the program, goes on from there; every piece is checked by its
// CRC32C and the whole by its SHA-256. One thread.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/ctl/client.h"

namespace mentor::ctl {

struct Download {
  std::string name;  // experiments/E/checkpoints/C or experiments/E/artifacts/PATH.
  std::filesystem::path path;
  // Bytes so far, and of the whole; 0 where that is not known.
  std::function<void(uint64_t done, uint64_t total)> on_progress = nullptr;
  std::function<void(const absl::Status&)> on_lost = nullptr;
  std::function<void(uint64_t offset)> on_resume = nullptr;
};

struct Downloaded {
  uint64_t size_bytes = 0;
  std::string sha256;
};

// DATA_LOSS when what came is not what the server has. UNAVAILABLE after the client's timeout
// without a byte; a part with bytes in it stays then, and after CANCELLED. NOT_FOUND leaves none.
absl::StatusOr<Downloaded> Fetch(Client* client, const Download& download);

// An error of a file or folder here, as one that no server made and no retry mends.
absl::Status OfThisMachine(const absl::Status& status);

}  // namespace mentor::ctl
