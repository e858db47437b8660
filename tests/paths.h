// Absolute paths of this checkout. They stand in one source, so that the objects of all other tests
// are the same in every checkout and compiler caches find them.
#pragma once

#include <string>

namespace mentor::testing {

// A file of the repository, by its path from the root.
std::string SourcePath(const std::string& path);

// What the build made, by its path in the build folder, for example bin/mentor.
std::string BuildPath(const std::string& path);

}  // namespace mentor::testing
