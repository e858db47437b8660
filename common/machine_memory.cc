#include "common/machine_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <sys/resource.h>

namespace mentor {
namespace {

constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();

// Returns "MemAvailable:   123 kB" in bytes.
std::optional<uint64_t> LineOf(const std::filesystem::path& file, const std::string& name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!absl::StartsWith(line, name)) continue;
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t kilobytes = 0;
    if (words.size() >= 2 && absl::SimpleAtoi(words[1], &kilobytes)) return kilobytes * 1024;
  }
  return std::nullopt;
}

// "max" and unreadable files mean no limit; v1 writes a value near 2^63.
uint64_t LimitIn(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string word;
  uint64_t bytes = 0;
  if (!(in >> word) || !absl::SimpleAtoi(word, &bytes) || bytes > (uint64_t{1} << 60)) return kNone;
  return bytes;
}

// Returns the least limit of a group and its ancestors. In a container the path is often the
// host's, while the mounted root is some group below; leading parts that do not exist are dropped.
uint64_t LeastLimit(const std::filesystem::path& root, const std::string& group, const char* file) {
  std::vector<std::string> parts = absl::StrSplit(group, '/', absl::SkipEmpty());
  const auto path_of = [&] {
    std::filesystem::path path = root;
    for (const std::string& part : parts) path /= part;
    return path;
  };
  std::error_code error;
  while (!parts.empty() && !std::filesystem::is_directory(path_of(), error))
    parts.erase(parts.begin());
  uint64_t least = LimitIn(root / file);
  for (; !parts.empty(); parts.pop_back()) least = std::min(least, LimitIn(path_of() / file));
  return least;
}

}  // namespace

uint64_t MachineMemoryBytes(const std::filesystem::path& proc,
                            const std::filesystem::path& cgroups) {
  uint64_t least = kNone;
  // "4:memory:/a/b" of v1, "0::/a/b" of v2.
  std::ifstream groups(proc / "self" / "cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (parts[1].empty()) least = std::min(least, LeastLimit(cgroups, parts[2], "memory.max"));
    if (std::find(controllers.begin(), controllers.end(), "memory") != controllers.end())
      least = std::min(least, LeastLimit(cgroups / "memory", parts[2], "memory.limit_in_bytes"));
  }
  if (const auto free = LineOf(proc / "meminfo", "MemAvailable:")) {
    const uint64_t own = LineOf(proc / "self" / "status", "VmRSS:").value_or(0);
    least = std::min(least, *free + own);
  }
  return least == kNone ? 0 : least;
}

double PeakMemoryBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

}  // namespace mentor
