// Where the files lie that are installed beside the programs. Thread-safe.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace mentor {

// The folder of this program's file, links resolved.
std::filesystem::path ProgramFolder();

// Where `name` may be, first choice first: the folder that the environment variable `variable`
// names, which is then the only choice; ../share/mentor/NAME as the program sees it; `built`, the
// place in the source tree that this program was built from.
std::vector<std::filesystem::path> InstalledFolders(const char* variable, std::string_view name,
                                                    const std::filesystem::path& built);

}  // namespace mentor
