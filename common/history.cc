#include "common/history.h"

#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/mutex.h"
#include "common/uuid.h"

namespace mentor::history {
namespace internal {

// Set during static initialisation, so that main needs no call.
std::atomic<bool> on{std::getenv("MENTOR_HISTORY") != nullptr};

}  // namespace internal

namespace {

struct File {
  Mutex mutex;
  int descriptor ABSL_GUARDED_BY(mutex) = -1;
  uint64_t lines ABSL_GUARDED_BY(mutex) = 0;
  std::string who ABSL_GUARDED_BY(mutex);  // JSON fields common to all lines.
};

File& TheFile() {
  static File* const file = new File;  // Threads may write while statics are destroyed.
  return *file;
}

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "MENTOR_HISTORY: cannot write %s: %s\n", what.c_str(), std::strerror(errno));
  _exit(3);
}

void Open(File* file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(file->mutex) {
  const std::string program = program_invocation_short_name;
  const std::string incarnation = UuidBase32(NewUuid(), 10);
  const std::string path =
      absl::StrCat(std::getenv("MENTOR_HISTORY"), "/", program, "-", incarnation, ".jsonl");
  file->descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file->descriptor < 0) Fail(path);
  file->who = absl::StrCat(",\"process\":", log::Field("", program).json(), ",\"incarnation\":\"",
                           incarnation, "\"");
}

}  // namespace

std::string UnitName(uint64_t shard, uint32_t iteration, uint32_t agent, uint32_t part) {
  return absl::StrCat(shard, "/", iteration, "/", agent, "/", part);
}

std::string LifetimeName(uint32_t number, uint32_t variant, uint32_t noise_number,
                         std::span<const double> task) {
  Sha256 hash;
  for (const double value : task) {
    const auto bits = std::bit_cast<std::array<char, sizeof(value)>>(value);
    hash.Update({bits.data(), bits.size()});
  }
  return absl::StrCat(number, ":", variant, ":", noise_number, ":",
                      ToHex(hash.Finish().substr(0, 4)));
}

std::string Digest(std::string_view bytes) {
  return ToHex(bytes.substr(0, 8));
}

void Write(std::string_view event, std::initializer_list<log::Field> fields) {
  std::string rest = absl::StrCat(",\"event\":\"", std::string(event), "\"");
  for (const log::Field& field : fields)
    absl::StrAppend(&rest, ",\"", std::string(field.key()), "\":", field.json());
  rest += "}\n";
  File& file = TheFile();
  const MutexLock lock(file.mutex);
  if (file.descriptor < 0) Open(&file);
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  // Under the lock, so that "t" and "n" rise together.
  const std::string line =
      absl::StrCat("{\"t\":", now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec,
                   ",\"n\":", ++file.lines, file.who, rest);
  if (write(file.descriptor, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    Fail("a line");
}

}  // namespace mentor::history
