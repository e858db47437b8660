#include "common/installed.h"

#include <cstdlib>
#include <system_error>

namespace mentor {

std::filesystem::path ProgramFolder() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

std::vector<std::filesystem::path> InstalledFolders(const char* variable, std::string_view name,
                                                    const std::filesystem::path& built) {
  if (const char* value = std::getenv(variable); value != nullptr && *value != '\0') return {value};
  std::vector<std::filesystem::path> folders;
  if (const std::filesystem::path program = ProgramFolder(); !program.empty())
    folders.push_back(program.parent_path() / "share" / "mentor" / name);
  folders.push_back(built);
  return folders;
}

}  // namespace mentor
