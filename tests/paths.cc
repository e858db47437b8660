#include "tests/paths.h"

namespace mentor::testing {

std::string SourcePath(const std::string& path) {
  return MENTOR_SOURCE_DIR "/" + path;
}

std::string BuildPath(const std::string& path) {
  return MENTOR_BUILD_DIR "/" + path;
}

}  // namespace mentor::testing
