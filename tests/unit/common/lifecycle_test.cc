// Signals act on a whole process, so each case is a child; its exit code tells what happened.
#include "common/lifecycle.h"

#include <csignal>
#include <functional>
#include <string_view>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include "tests/testing.h"

namespace mentor {
namespace {

struct Child {
  explicit Child(const std::function<int(int ready_pipe)>& main) {
    REQUIRE(pipe(ready) == 0);
    pid = fork();
    if (pid == 0) _exit(main(ready[1]));
    close(ready[1]);
  }
  ~Child() { close(ready[0]); }
  // Waits until the child says so.
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

}  // namespace
}  // namespace mentor
