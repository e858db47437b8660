#include "envs/assets.h"

#include <cstdlib>

namespace mentor::envs {

std::string AssetsFolder(std::string_view folder) {
  const char* assets = std::getenv("MENTOR_ASSETS");
  return std::string(assets != nullptr ? assets : MENTOR_INSTALLED_ASSETS) + "/" +
         std::string(folder);
}

}  // namespace mentor::envs
