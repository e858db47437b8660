// Small files that only their owner may read: tokens and tables of tokens. Threads may share.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "common/mutex.h"
#include "common/secret.h"

namespace mentor::rpc {

inline constexpr uint64_t kSecretFileBytesMax = 1 << 20;

// Reads the whole file, which others must not be able to read. Modes up to 0600 are accepted, or up
// to 0640 if the file belongs to root or to this user (Kubernetes mounts secrets so).
// INVALID_ARGUMENT begins with `flag` and ends with the remedy.
absl::StatusOr<std::string> ReadSecretFile(std::string_view flag, const std::string& path);

// The same for files that others may read but not change.
absl::StatusOr<std::string> ReadGuardedFile(std::string_view flag, const std::string& path);

// A client's token, read again when its file changes. If the file becomes invalid, the last token
// stays. Thread-safe.
class TokenFile {
 public:
  static absl::StatusOr<std::shared_ptr<TokenFile>> Open(const std::string& path);

  // Checks the file at most once per period.
  Secret Get();

 private:
  TokenFile(std::string path, const Secret& token);

  static constexpr std::chrono::milliseconds kPeriod{1000};
  // Fixed after construction.
  const std::string path_;

  // Guarded by mutex_.
  Mutex mutex_;
  Secret token_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point looked_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::rpc
