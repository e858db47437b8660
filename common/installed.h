// Locates the files that are installed beside the programs. Thread-safe.
#pragma once

#include <filesystem>
#include <string_view>

namespace mentor {

// Returns the folder of this program's file, links resolved; or the one that was set.
std::filesystem::path ProgramFolder();
// For a library inside a foreign program, as Python is: the folder of our programs.
void SetProgramFolder(std::filesystem::path folder);

// Returns the folder that the environment variable `variable` names; if it is unset or empty,
// ../share/mentor/NAME relative to the program. A build folder has links there. Python looks in the
// same places (python/mentor_client/installed.py).
std::filesystem::path InstalledFolder(const char* variable, std::string_view name);

}  // namespace mentor
