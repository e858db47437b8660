// Signals act on a whole process, so each case is a child; its exit code tells the result.
#include "common/lifecycle.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using testing::Contains;

struct Child {
  explicit Child(const std::function<int(int ready_pipe)>& main) {
    REQUIRE(pipe(ready) == 0);
    pid = fork();
    if (pid == 0) _exit(main(ready[1]));
    close(ready[1]);
  }
  ~Child() { close(ready[0]); }
  // Waits until the child is ready.
  void Ready() {
    char byte;
    REQUIRE(read(ready[0], &byte, 1) == 1);
  }
  int Exit() {
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  int ready[2];
  pid_t pid;
};

void Say(int pipe) {
  [[maybe_unused]] const ssize_t written = write(pipe, "x", 1);
}

TEST_CASE("lifecycle: a signal is waited for, not acted on", "[unit]") {
  for (const int signal : {SIGTERM, SIGINT}) {
    Child child([](int pipe) {
      BlockStopSignals();
      std::thread([] {}).join();
      Say(pipe);
      return WaitForStopSignal();
    });
    child.Ready();
    kill(child.pid, signal);
    CHECK(child.Exit() == signal);
  }
}

TEST_CASE("lifecycle: the end of main flushes what was printed and leaves statics alone",
          "[unit]") {
  Child child([](int pipe) {
    static const struct Static {
      ~Static() { _exit(1); }
    } left_alone;
    dup2(pipe, STDOUT_FILENO);
    std::printf("x");  // It waits in a buffer.
    EndMain(7);
    return 0;
  });
  child.Ready();
  CHECK(child.Exit() == 7);
}

TEST_CASE("lifecycle: output that cannot be written is a failure", "[unit]") {
  Child child([](int pipe) {
    (void)!write(pipe, "x", 1);
    dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO);
    std::printf("x");
    EndMain(0);
    return 0;
  });
  child.Ready();
  CHECK(child.Exit() == 1);
}

TEST_CASE("lifecycle: output whose reader has gone is none", "[unit]") {
  Child child([](int to_parent) {
    BlockStopSignals();
    int unread[2];
    if (pipe(unread) != 0) return 1;
    close(unread[0]);
    dup2(unread[1], STDOUT_FILENO);
    Say(to_parent);
    std::printf("x");
    EndMain(0);
    return 0;
  });
  child.Ready();
  CHECK(child.Exit() == 0);
}

TEST_CASE("lifecycle: a second signal exits at once with 128 + n", "[unit]") {
  Child child([](int pipe) {
    BlockStopSignals();
    Say(pipe);
    WaitForStopSignal();
    Say(pipe);
    for (;;) pause();  // A drain without end.
    return 0;
  });
  child.Ready();
  kill(child.pid, SIGTERM);
  child.Ready();
  kill(child.pid, SIGINT);
  CHECK(child.Exit() == 128 + SIGINT);
}

TEST_CASE("lifecycle: a program with nothing to drain exits at the first signal", "[unit]") {
  Child child([](int pipe) {
    BlockStopSignals();
    ExitOnStopSignal();
    Say(pipe);
    for (;;) pause();  // Work without end.
    return 0;
  });
  child.Ready();
  kill(child.pid, SIGINT);
  CHECK(child.Exit() == 128 + SIGINT);
}

TEST_CASE("lifecycle: a wait with a limit, and a stop from inside", "[unit]") {
  Child child([](int) {
    BlockStopSignals();
    if (WaitForStopSignal(std::chrono::milliseconds(1)) != 0) return 1;
    if (StopReason() != nullptr) return 2;  // A signal from outside has none.
    std::thread([] { RequestStop("drained"); }).join();
    RequestStop("again");
    if (StopReason() != std::string_view("drained")) return 3;
    return WaitForStopSignal(std::chrono::milliseconds(60'000)) == SIGTERM ? 0 : 4;
  });
  CHECK(child.Exit() == 0);
}

// A child that runs into limits: its message and its end.
struct Limited {
  std::string said;
  int exit;
};

Limited RunInto(const std::function<void()>& limit) {
  Child child([&](int pipe) noexcept {  // As in main, without a handler.
    ExplainLimits();
    dup2(pipe, STDERR_FILENO);
    limit();
    return 0;
  });
  Limited ended;
  char bytes[4096];
  ssize_t size = 0;
  while ((size = read(child.ready[0], bytes, sizeof(bytes))) > 0)
    ended.said.append(bytes, static_cast<size_t>(size));
  ended.exit = child.Exit();
  return ended;
}

void Limit(__rlimit_resource what) {
  rlimit limit = {};
  getrlimit(what, &limit);
  limit.rlim_cur = 0;
  setrlimit(what, &limit);
}

TEST_CASE("lifecycle: without memory or threads a program says so, and exits with 1", "[unit]") {
  const Limited memory = RunInto([] {
    Limit(RLIMIT_AS);
    throw std::bad_alloc();
  });
  CHECK(Contains(memory.said, "error: the machine gives this program no more memory; raise"));
  CHECK(memory.exit == 1);

  const Limited threads = RunInto([] {
    if (geteuid() == 0 && setresuid(54321, 54321, 54321) != 0) _exit(2);  // Root has no limit.
    Limit(RLIMIT_NPROC);
    std::thread([] {}).join();
  });
  CHECK(Contains(threads.said, "error: the machine lets this program start no more threads"));
  CHECK(threads.exit == 1);

  // It may have passed since.
  const Limited passed = RunInto([] { throw std::bad_alloc(); });
  CHECK(Contains(passed.said, "no more memory or threads"));
  CHECK(passed.exit == 1);
}

TEST_CASE("lifecycle: a library that aborts for want of memory is explained", "[unit]") {
  const Limited limited = RunInto([] {
    Limit(RLIMIT_AS);
    std::abort();
  });
  CHECK(Contains(limited.said, "no more memory; raise"));
  CHECK(limited.exit == 1);
  // Other ends are as they were.
  const Limited bug = RunInto([] { std::abort(); });
  CHECK(bug.said.empty());
  CHECK(bug.exit == 1000 + SIGABRT);
  const Limited thrown = RunInto([] { throw std::logic_error("a bug"); });
  CHECK(Contains(thrown.said, "a bug"));
  CHECK(thrown.exit == 1000 + SIGABRT);
}

TEST_CASE("lifecycle: a file that may not grow is an error, no signal", "[unit]") {
  const testing::TempFolder folder;
  const Limited limited = RunInto([&] {
    Limit(RLIMIT_FSIZE);
    const absl::Status status = WriteFileAtomically(folder.path() / "file", "bytes");
    const std::string words(status.message());
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, words.data(), words.size());
    _exit(7);
  });
  CHECK(Contains(limited.said, "File too large; raise the limit of a file's size (ulimit -f)"));
  CHECK(limited.exit == 7);
}

}  // namespace mentor::TEST_FILE
