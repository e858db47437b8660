#include "cli/signal_names.h"

#include <cstdlib>
#include <string>

#include "common/file.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;

class Variable {
 public:
  Variable(const char* name, const std::filesystem::path& value) : name_(name) {
    setenv(name, value.c_str(), /*overwrite=*/1);
  }
  ~Variable() { unsetenv(name_); }

 private:
  const char* const name_;
};

void WriteConfig(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  REQUIRE(WriteFileAtomically(folder / "config.json", "{}").ok());
}

// Writes an interpreter of Python that runs these lines of shell instead.
std::filesystem::path FakePython(const std::filesystem::path& folder, const std::string& lines) {
  const std::filesystem::path file = folder / "python";
  REQUIRE(WriteFileAtomically(file, "#!/bin/sh\n" + lines).ok());
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  return file;
}

TEST_CASE("signal names: zoo:NAME is a folder of the zoo, and a wrong one lists the nearest",
          "[unit]") {
  const testing::TempFolder folder;
  const Variable zoo("MENTOR_ZOO", folder.path());
  WriteConfig(folder.path() / "door-close-reward");
  WriteConfig(folder.path() / "reach");
  std::filesystem::create_directories(folder.path() / "door-close-rewards");  // Holds no signal.
  CHECK(FindSignal("zoo:reach").value().string() == (folder.path() / "reach").string());
  const absl::Status near = FindSignal("zoo:door_close_rewrd").status();
  CHECK(absl::IsNotFound(near));
  CHECK(Contains(near, "did you mean 'door-close-reward'?"));
  CHECK(Contains(FindSignal("zoo:..").status(), "known: door-close-reward, reach"));
}

TEST_CASE("signal names: a folder is a signal by its config.json", "[unit]") {
  const testing::TempFolder folder;
  CHECK_FALSE(IsSignal(folder.path()));
  CHECK_FALSE(IsSignal("runs/zoo"));
  CHECK(IsSignal("zoo:reach"));
  CHECK(IsSignal("hf://owner/name"));
  WriteConfig(folder.path());
  CHECK(IsSignal(folder.path()));
  CHECK(FindSignal(folder.path()).value().string() == folder.path().string());
}

TEST_CASE("signal names: Python fetches from the Hub, and its last words are the error", "[unit]") {
  const testing::TempFolder folder;
  const Variable python("MENTOR_PYTHON", folder.path() / "python");
  FakePython(folder.path(), "shift 2\necho fetching 1 of 2 >&2\necho \"/cache/$*\"\n");
  CHECK(FindSignal("hf://owner/name").value().string() == "/cache/--folder -- hf://owner/name");
  FakePython(folder.path(), "echo fetching >&2\necho 'folder: has no config.json' >&2\nexit 1\n");
  const absl::Status none = FindSignal("hf://owner/name").status();
  CHECK(absl::IsNotFound(none));
  CHECK(none.message() == "folder: has no config.json");
  const Variable nothing("MENTOR_PYTHON", folder.path() / "nothing");
  CHECK(Contains(FindSignal("hf://owner/name").status(), "MENTOR_PYTHON names another"));
}

}  // namespace mentor::TEST_FILE
