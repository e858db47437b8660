// The manual page that the build has made.
#include <filesystem>

#include "tests/loopback/cli/ctl/mentorctl.h"
#include "tests/paths.h"

namespace mentor::TEST_FILE {

using namespace mentor::testing;

TEST_CASE("mentorctl: its manual page is whole and man has nothing to say against it",
          "[loopback]") {
  const std::string page = testing::BuildPath("man/man1/mentorctl.1");
  if (!std::filesystem::exists(page)) {
    WARN("skipped: help2man was not installed when this was built");
    return;
  }
  if (std::system("man --version > /dev/null 2>&1") != 0) {
    WARN("skipped: man (man-db) is not installed");
    return;
  }
  const TempFolder folder;
  const std::string text = (folder.path() / "text").string();
  const std::string warnings = (folder.path() / "warnings").string();
  REQUIRE(std::system(("LC_ALL=C.UTF-8 MANWIDTH=100 man -l --warnings=all -Tutf8 " + page + " 2> " +
                       warnings + " | col -b > " + text)
                          .c_str()) == 0);
  CHECK(ReadText(warnings).empty());
  const std::string shown = ReadText(text);
  for (const char* part : {"SYNOPSIS", "mentorctl - control", "--token_file=FILE", "CREATE",
                           "mentorctl clone CHECKPOINT", "CONFIG VIEW", "BUNDLES PUSH",
                           "mentorctl wait first --for=RUNNING", "EXIT STATUS"}) {
    INFO(part);
    CHECK(Contains(shown, part));
  }
}

}  // namespace mentor::TEST_FILE
