#include "common/rpc/secret_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/file.h"
#include "common/log.h"

namespace mentor::rpc {
namespace {

absl::StatusOr<std::string> ReadFileOfMode(std::string_view flag, const std::string& path,
                                           bool secret) {
  const std::string name = absl::StrCat(std::string(flag), ": '", path, "'");
  const OpenedFile file = OpenFile(path, O_RDONLY | O_NONBLOCK);
  struct stat info {};
  if (file.get() < 0 || fstat(file.get(), &info) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read ", name, ": ", std::strerror(errno)));
  }
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(name + " is not a regular file");
  const bool trusted_owner = info.st_uid == 0 || info.st_uid == geteuid();
  const mode_t forbidden = !secret ? 0022 : trusted_owner ? 0037 : 0077;
  if ((info.st_mode & forbidden) != 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s has mode %04o: others could %s it; run: chmod %s %s", name, info.st_mode & 07777u,
        secret ? "read or change" : "change", secret ? "600" : "644", path));
  }
  if (static_cast<uint64_t>(info.st_size) > kSecretFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrFormat("%s has %d bytes, the limit is %d", name,
                                                      info.st_size, kSecretFileBytesMax));
  }
  const auto size = static_cast<size_t>(info.st_size);
  auto text = ReadAt(file, 0, size + 1, path);
  if (!text.ok())
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(flag), ": ", text.status().message()));
  if (text->size() > size) return absl::InvalidArgumentError(name + " grows while it is read");
  return text;
}

absl::StatusOr<Secret> ReadToken(const std::string& path) {
  MENTOR_ASSIGN_OR_RETURN(std::string text, ReadSecretFile("--token_file", path));
  auto token = ParseToken("--token_file: '" + path + "'", text);
  OPENSSL_cleanse(text.data(), text.size());
  return token;
}

}  // namespace

absl::StatusOr<std::string> ReadSecretFile(std::string_view flag, const std::string& path) {
  return ReadFileOfMode(flag, path, /*secret=*/true);
}

absl::StatusOr<std::string> ReadGuardedFile(std::string_view flag, const std::string& path) {
  return ReadFileOfMode(flag, path, /*secret=*/false);
}

absl::StatusOr<std::shared_ptr<TokenFile>> TokenFile::Open(const std::string& path) {
  MENTOR_ASSIGN_OR_RETURN(const Secret token, ReadToken(path));
  return std::shared_ptr<TokenFile>(new TokenFile(path, token));
}

TokenFile::TokenFile(std::string path, const Secret& token)
    : path_(std::move(path)), token_(token), looked_(std::chrono::steady_clock::now()) {}

Secret TokenFile::Get() {
  MutexLock lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_ < kPeriod) return token_;
  looked_ = now;
  const auto token = ReadToken(path_);
  if (token.ok()) {
    token_ = *token;
  } else {
    MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "the token cannot be read again",
                     {{"error", token.status()}});
  }
  return token_;
}

absl::StatusOr<Secret> ParseToken(std::string_view source, std::string_view text) {
  const absl::string_view word =
      absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size()));
  const auto wrong = [&](const char* why) {
    return absl::InvalidArgumentError(absl::StrCat(
        std::string(source), " ", why, "; 'mentorctl token new ROLE NAME' prints a token"));
  };
  if (word.empty()) return wrong("is empty, give a token");
  if (!std::all_of(word.begin(), word.end(), [](char c) { return absl::ascii_isgraph(c); }))
    return wrong("holds no token: give one line of printable ASCII characters without blanks");
  return Secret(std::string(word));
}

}  // namespace mentor::rpc
