#include "common/failpoint.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <sys/wait.h>
#include <unistd.h>

#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::failpoint::TEST_FILE {

std::optional<std::string> One() {
  return MENTOR_FAILPOINT("test.one");
}
std::optional<std::string> Two() {
  return MENTOR_FAILPOINT("test.two");
}

struct Disarm {
  ~Disarm() { static_cast<void>(Arm("")); }
};

std::string Pattern(int hits) {
  std::string pattern;
  for (int i = 0; i < hits; ++i) pattern += One() ? 'x' : '.';
  return pattern;
}

TEST_CASE("failpoint: unarmed points do nothing and count nothing", "[unit]") {
  const Disarm disarm;
  REQUIRE(Arm("").ok());
  CHECK_FALSE(One().has_value());
  CHECK(Hits().empty());
  const auto names = Names();
  CHECK(std::count(names.begin(), names.end(), "test.one") == 1);
  CHECK(std::count(names.begin(), names.end(), "test.two") == 1);
  CHECK(std::is_sorted(names.begin(), names.end()));
}

TEST_CASE("failpoint: when", "[unit]") {
  const Disarm disarm;
  REQUIRE(Arm("test.one=3:error(x)").ok());
  CHECK(Pattern(5) == "..x..");
  REQUIRE(Arm("test.one=3+:error(x)").ok());
  CHECK(Pattern(5) == "..xxx");
  REQUIRE(Arm("test.one=*:error(x)").ok());
  CHECK(Pattern(3) == "xxx");
  REQUIRE(Arm("test.one=100%1:error(x)").ok());
  CHECK(Pattern(3) == "xxx");
  REQUIRE(Arm("test.one=0%1:error(x)").ok());
  CHECK(Pattern(3) == "...");
  // A chance is repeatable and near its percentage.
  REQUIRE(Arm("test.one=30%7:error(x)").ok());
  const std::string first = Pattern(2000);
  REQUIRE(Arm("test.one=30%7:error(x)").ok());
  CHECK(Pattern(2000) == first);
  const auto fired = std::count(first.begin(), first.end(), 'x');
  CHECK((fired > 500 && fired < 700));
  REQUIRE(Arm("test.one=30%8:error(x)").ok());
  CHECK(Pattern(2000) != first);
}

TEST_CASE("failpoint: several points, texts and counts", "[unit]") {
  const Disarm disarm;
  REQUIRE(Arm("test.one=2:error(ENOSPC);test.two=1:sleep(0);").ok());
  CHECK_FALSE(One().has_value());
  CHECK(One() == "ENOSPC");
  CHECK_FALSE(Two().has_value());
  CHECK(Hits() == std::map<std::string, uint64_t>{{"test.one", 2}, {"test.two", 1}});
}

TEST_CASE("failpoint: a typo is refused, and what was armed stays", "[unit]") {
  const Disarm disarm;
  REQUIRE(Arm("test.one=*:error(x)").ok());
  for (const char* text :
       {"test.one", "test.one=1", "=1:kill", "test.one=0:kill", "test.one=-1:kill",
        "test.one=1x:kill", "test.one=:kill", "test.one=101%1:kill", "test.one=1%:kill",
        "test.one=1:die", "test.one=1:exit(256)", "test.one=1:exit()", "test.one=1:sleep(x)",
        "test.one=1:error(x", "test.one=1:kill;test.one=2:kill", "test.none=1:kill",
        "test.one=99999999999999999999:kill"}) {
    INFO(text);
    const absl::Status status = Arm(text);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(status.message()).find("MENTOR_FAILPOINTS") == 0);
  }
  CHECK(One() == "x");
}

// Runs in a child, because the action ends the process. The child does nothing but hit the point.
int StatusOfChild(const std::string& text, const std::string& log) {
  REQUIRE(Arm(text).ok());
  setenv("MENTOR_FAILPOINT_LOG", log.c_str(), 1);
  const pid_t child = fork();
  if (child == 0) {
    One();
    _exit(0);
  }
  unsetenv("MENTOR_FAILPOINT_LOG");
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

TEST_CASE("failpoint: kill and exit end the process, after a line in the log", "[unit]") {
  const Disarm disarm;
  const mentor::testing::TempFolder folder;
  const std::string log = folder.path() / "log";
  int status = StatusOfChild("test.one=1:kill", log);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
  status = StatusOfChild("test.one=*:exit(7)", log);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 7));
  std::ifstream file(log);
  std::stringstream text;
  text << file.rdbuf();
  CHECK(text.str() == "test.one 1 kill\ntest.one 1 exit(7)\n");
}

}  // namespace mentor::failpoint::TEST_FILE
