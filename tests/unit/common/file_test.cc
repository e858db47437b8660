#include "common/file.h"

#include <fstream>
#include <vector>

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/failpoint.h"
#include "common/status.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::TempFolder;

// While it lives, records the calls that make files durable: "sync name (bytes)", "sync folder
// name", "rename to name". One at a time, for its own thread.
class DurableCalls {
 public:
  DurableCalls() { current = &calls_; }
  ~DurableCalls() { current = nullptr; }
  std::vector<std::string> Take() { return std::exchange(calls_, {}); }

  static void Note(const std::string& call) {
    if (current != nullptr) current->push_back(call);
  }

 private:
  static thread_local std::vector<std::string>* current;
  std::vector<std::string> calls_;
};
thread_local std::vector<std::string>* DurableCalls::current = nullptr;

// Replace the C library's functions in this whole program.
extern "C" int fsync(int descriptor) {
  struct stat info {};
  if (fstat(descriptor, &info) == 0) {
    std::error_code ignored;
    const auto path =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), ignored);
    const std::string name = path.filename();
    DurableCalls::Note(S_ISDIR(info.st_mode)
                           ? "sync folder " + name
                           : "sync " + name + " (" + std::to_string(info.st_size) + ")");
  }
  return static_cast<int>(syscall(SYS_fsync, descriptor));
}
extern "C" int rename(const char* from, const char* to) noexcept {
  DurableCalls::Note("rename to " + std::filesystem::path(to).filename().string());
  return static_cast<int>(syscall(SYS_rename, from, to));
}

std::vector<std::string> Names(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

TEST_CASE("file: writes replace whole files and leave nothing else behind", "[unit]") {
  const TempFolder folder;
  const auto path = folder.path() / "a.txt";
  REQUIRE(WriteFileAtomically(path, "one").ok());
  CHECK(*ReadFile(path, 3) == "one");
  std::string long_piece(1 << 20, 'x');
  const std::vector<std::string_view> pieces = {"head", "", long_piece, "tail"};
  REQUIRE(WriteFileAtomically(path, pieces).ok());
  CHECK(*ReadFile(path, 2 << 20) == "head" + long_piece + "tail");
  CHECK(Names(folder.path()) == std::vector<std::string>{"a.txt"});
  struct stat info;
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("file: durable in this order: the whole file, its name, the folder", "[unit]") {
  const TempFolder folder;
  const std::string own = folder.path().filename();
  DurableCalls calls;
  REQUIRE(WriteFileAtomically(folder.path() / "a.txt", "12345").ok());
  auto made = calls.Take();
  REQUIRE(made.size() == 3);
  // The machine's mark follows the process's number.
  CHECK_THAT(made[0], Catch::StartsWith("sync .a." + std::to_string(getpid()) + "-") &&
                          Catch::EndsWith(".tmp (5)"));
  CHECK(made[1] == "rename to a.txt");
  CHECK(made[2] == "sync folder " + own);
  REQUIRE(MakeFolders(folder.path() / "b/c").ok());
  CHECK(calls.Take() == std::vector<std::string>{"sync folder " + own, "sync folder b"});
  REQUIRE(MakeFolders(folder.path() / "b/c").ok());
  CHECK(calls.Take().empty());
}

TEST_CASE("file: reading says what is wrong", "[unit]") {
  const TempFolder folder;
  const auto path = folder.path() / "a.txt";
  const auto missing = ReadFile(path, 10);
  CHECK(missing.status().code() == absl::StatusCode::kNotFound);
  CHECK(std::string(missing.status().message()) ==
        "cannot open " + path.string() + ": No such file or directory; check the path");
  REQUIRE(WriteFileAtomically(path, "12345").ok());
  CHECK(ReadFile(path, 4).status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(ReadFile(path, 5).ok());
  CHECK(ReadFile(folder.path(), 10).status().code() == absl::StatusCode::kFailedPrecondition);
  REQUIRE(mkfifo((folder.path() / "pipe").c_str(), 0600) == 0);
  CHECK(ReadFile(folder.path() / "pipe", 10).status().code() ==
        absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("file: an error at any step leaves the old file and no temporary one", "[unit]") {
  const TempFolder folder;
  const auto path = folder.path() / "a.txt";
  REQUIRE(WriteFileAtomically(path, "old").ok());
  for (const char* point : {"store.write.open", "store.write.block", "store.write.fsync",
                            "store.commit.before_rename"}) {
    INFO(point);
    REQUIRE(failpoint::Arm(std::string(point) + "=1:error(ENOSPC)").ok());
    const absl::Status status = WriteFileAtomically(path, "new");
    CHECK(failpoint::Hits()[point] == 1);
    REQUIRE(failpoint::Arm("").ok());
    CHECK(status.code() == absl::StatusCode::kResourceExhausted);
    CHECK(ReasonOf(status) == "DISK_FULL");
    const std::string message(status.message());
    CHECK(message.find("No space left on device; free space on this file system, then try again") !=
          message.npos);
    CHECK(message.find(folder.path().string()) != message.npos);
    CHECK(*ReadFile(path, 10) == "old");
    CHECK(Names(folder.path()) == std::vector<std::string>{"a.txt"});
  }
  REQUIRE(failpoint::Arm("store.commit.before_dir_fsync=1:error(EIO)").ok());
  CHECK(WriteFileAtomically(path, "new").code() == absl::StatusCode::kUnavailable);
  REQUIRE(failpoint::Arm("").ok());
  // The file exists, though perhaps not after a loss of power.
  CHECK(*ReadFile(path, 10) == "new");
}

TEST_CASE("file: temporary names are known again", "[unit]") {
  CHECK(IsTemporaryName(".00000042.1234.tmp"));
  CHECK_FALSE(IsTemporaryName("00000042.ckpt"));
  CHECK_FALSE(IsTemporaryName(".tmp"));
  CHECK_FALSE(IsTemporaryName("a.tmp"));

  const TempFolder folder;
  for (const char* name : {".a.1.tmp", ".b.22.tmp", "a.tmp", "a.txt", ".hidden"}) {
    std::ofstream(folder.path() / name) << "x";
  }
  CHECK(*RemoveTemporaryFiles(folder.path()) == 2);
  CHECK(Names(folder.path()) == std::vector<std::string>{".hidden", "a.tmp", "a.txt"});
  CHECK(*RemoveTemporaryFiles(folder.path() / "missing") == 0);
}

TEST_CASE("file: folders with their parents", "[unit]") {
  const TempFolder folder;
  const auto path = folder.path() / "a/b/c";
  CHECK(MakeFolders(path).ok());
  CHECK(MakeFolders(path).ok());
  struct stat info;
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  REQUIRE(WriteFileAtomically(folder.path() / "file", "x").ok());
  CHECK(MakeFolders(folder.path() / "file/d").code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("file: a lock has one holder, and the second one hears who", "[unit]") {
  const TempFolder folder;
  const auto path = folder.path() / "LOCK";
  auto first = FileLock::Acquire(path, "the first of a long name");
  REQUIRE(first.ok());
  const auto second = FileLock::Acquire(path, "second");
  CHECK(second.status().code() == absl::StatusCode::kFailedPrecondition);
  const std::string message(second.status().message());
  CHECK(message.find(path.string() + " is in use by the first of a long name (process ") == 0);
  first->reset();
  auto third = FileLock::Acquire(path, "third");
  REQUIRE(third.ok());
  const auto fourth = FileLock::Acquire(path, "fourth");
  CHECK(std::string(fourth.status().message()).find("is in use by third (process ") !=
        std::string::npos);
}

}  // namespace mentor::TEST_FILE
