// Small files that only their owner may read: tokens and tables of tokens. Threads may share.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

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

// Returns the token that a text holds, without blanks around it. INVALID_ARGUMENT begins with
// `source`, which names a file or variable, and does not contain the text. Every token passes here
// on its way to a header: gRPC ends the process over other characters, and prints the header.
absl::StatusOr<Secret> ParseToken(std::string_view source, std::string_view text);

// Decides which errors of files that are read again are reported: each once, and only after it was
// seen twice in a row, since files are replaced piece by piece. Begin anew after a success.
class ReloadError {
 public:
  bool IsNews(const absl::Status& error) {
    const std::string text(error.message());
    if (std::exchange(seen_, text) != text || text == reported_) return false;
    reported_ = text;
    return true;
  }

 private:
  std::string seen_, reported_;
};

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
  const std::string path_;

  Mutex mutex_;
  Secret token_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point looked_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::rpc
