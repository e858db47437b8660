// Locates the files that are installed beside the programs. Thread-safe.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace mentor {

// Returns the folder of this program's file, links resolved; or the one that was set.
std::filesystem::path ProgramFolder();
// For a library inside a foreign program, as Python is: the folder of our programs.
void SetProgramFolder(std::filesystem::path folder);

// Returns the possible locations of `name`, best first. If the environment variable `variable` is
// set, its folder is the only one. Otherwise ../share/mentor/NAME relative to the program, then
// `built`, the location in the source tree of this build.
std::vector<std::filesystem::path> InstalledFolders(const char* variable, std::string_view name,
                                                    const std::filesystem::path& built);

}  // namespace mentor
