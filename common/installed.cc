#include "common/installed.h"

#include <cstdlib>
#include <system_error>
#include <utility>

#include "common/mutex.h"

namespace mentor {
namespace {

Mutex folder_mutex;
std::filesystem::path set_folder ABSL_GUARDED_BY(folder_mutex);

}  // namespace

void SetProgramFolder(std::filesystem::path folder) {
  const MutexLock lock(folder_mutex);
  set_folder = std::move(folder);
}

std::filesystem::path ProgramFolder() {
  {
    const MutexLock lock(folder_mutex);
    if (!set_folder.empty()) return set_folder;
  }
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

std::filesystem::path InstalledFolder(const char* variable, std::string_view name) {
  if (const char* value = std::getenv(variable); value != nullptr && *value != '\0') return value;
  return ProgramFolder().parent_path() / "share" / "mentor" / name;
}

}  // namespace mentor
