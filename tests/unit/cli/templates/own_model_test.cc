#include "cli/templates/own_model.h"

#include "common/file.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::templates::TEST_FILE {

TEST_CASE("own model: an error begins with the flag that it is about", "[unit]") {
  const testing::TempFolder folder;
  const auto model = folder.path() / "a\"b.xml";
  REQUIRE(WriteFileAtomically(model, "<mujoco/>").ok());
  CHECK(ReadOwnModel(model, "").status().message() ==
        "--model: the file's path has special characters; rename it");
}

}  // namespace mentor::templates::TEST_FILE
