// Fetches a checkpoint or an artifact into a file. FILE.part keeps the bytes received so far, so
// that the next attempt or the next start of the program resumes there. A CRC32C checks every
// piece, and a SHA-256 the whole file. One thread.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "cli/ctl/client.h"

namespace mentor::ctl {

struct Download {
  std::string name;  // experiments/E/checkpoints/C or experiments/E/artifacts/PATH.
  std::filesystem::path path;
  // Bytes so far and in total; 0 while the total is unknown.
  std::function<void(uint64_t done, uint64_t total)> on_progress = nullptr;
  std::function<void(const absl::Status&)> on_lost = nullptr;
  std::function<void(uint64_t offset)> on_resume = nullptr;
};

struct Downloaded {
  uint64_t size_bytes = 0;
  std::string sha256;
};

// Returns DATA_LOSS when the bytes differ from the server's file, and UNAVAILABLE after the
// client's timeout without a byte. A part with bytes in it stays after UNAVAILABLE and CANCELLED.
// NOT_FOUND leaves no part.
absl::StatusOr<Downloaded> Fetch(Client* client, const Download& download);

// Turns an error of a local file or folder into one that is not retried and not blamed on the
// server.
absl::Status OfThisMachine(const absl::Status& status);

}  // namespace mentor::ctl
