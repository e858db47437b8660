// A new empty folder for one test case, removed at its end.
#pragma once

#include <filesystem>

#include "common/temporary_folder.h"

namespace mentor::testing {

class TempFolder {
 public:
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  const TemporaryFolder folder_ = TemporaryFolder::Create("mentor-test").value();
};

}  // namespace mentor::testing
