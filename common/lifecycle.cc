#include "common/lifecycle.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>
#include <system_error>
#include <thread>

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/check.h"

namespace mentor {
namespace {

std::atomic<const char*> stop_reason{nullptr};

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

constexpr std::string_view kNoMemory =
    "error: the machine gives this program no more memory; raise the limit of address space "
    "(ulimit -v) or of the container, or give it fewer threads or a smaller experiment\n";
constexpr std::string_view kNoThreads =
    "error: the machine lets this program start no more threads; raise the limit of processes "
    "(ulimit -u, the container's limit of pids), or give it fewer threads\n";
constexpr std::string_view kEither =
    "error: the machine gives this program no more memory or threads; raise the limits (ulimit -v, "
    "ulimit -u, those of the container), or give it fewer threads or a smaller experiment\n";

// Returns which resource is exhausted at this moment; empty if none is known to be. Like all
// functions below it may run in a signal handler: it allocates nothing and takes no lock.
std::string_view Lacking() {
  constexpr size_t kBytes = 64 << 20;  // A thread's stack and a margin.
  void* memory =
      mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
           /*fd=*/-1, /*offset=*/0);
  if (memory == MAP_FAILED) return kNoMemory;
  munmap(memory, kBytes);
  const pid_t child = _Fork();
  if (child == 0) _exit(0);
  if (child < 0) return errno == EAGAIN ? kNoThreads : kNoMemory;
  return "";
}

[[noreturn]] void EndWith(std::string_view words) {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, words.data(), words.size());
  _exit(1);
}

std::terminate_handler usual_end = nullptr;

// Handles uncaught exceptions.
void OnTerminate() {
  bool limited = false;
  try {
    if (const auto thrown = std::current_exception()) std::rethrow_exception(thrown);
  } catch (const std::system_error& error) {
    limited = error.code() == std::errc::resource_unavailable_try_again ||
              error.code() == std::errc::not_enough_memory;
  } catch (const std::bad_alloc&) {
    limited = true;
  } catch (...) {
  }
  if (limited) {
    const std::string_view lacking = Lacking();
    EndWith(lacking.empty() ? kEither : lacking);
  }
  usual_end();
}

// Libraries abort if a thread or memory is missing. Any other abort proceeds.
void OnAbort(int) {
  if (const std::string_view lacking = Lacking(); !lacking.empty()) EndWith(lacking);
}

}  // namespace

void ExplainLimits() {
  usual_end = std::set_terminate(OnTerminate);
  struct sigaction action = {};
  action.sa_handler = OnAbort;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  MENTOR_CHECK(sigaction(SIGABRT, &action, nullptr) == 0);
  std::signal(SIGXFSZ, SIG_IGN);
}

void EndMain(int status) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  std::exit(status);  // Sanitizers report at the end.
#else
  pollfd output = {STDOUT_FILENO, POLLOUT, 0};
  if ((std::fflush(nullptr) != 0 || std::ferror(stdout) != 0) &&
      (poll(&output, 1, /*timeout=*/0) < 1 || (output.revents & POLLERR) == 0)) {
    std::fputs("error: not all of the output could be written\n", stderr);
    if (status == 0) status = 1;
  }
  _exit(status);
#endif
}

void BlockStopSignals() {
  const sigset_t set = StopSignals();
  MENTOR_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  std::signal(SIGPIPE, SIG_IGN);
}

void ExitOnStopSignal() {
  std::thread([] {
    const sigset_t set = StopSignals();
    int signal = 0;
    while (sigwait(&set, &signal) != 0) {
    }
    _exit(128 + signal);
  }).detach();
}

int WaitForStopSignal() {
  const sigset_t set = StopSignals();
  int signal = 0;
  while (sigwait(&set, &signal) != 0) {
  }
  ExitOnStopSignal();  // A second signal must not wait for the drain.
  return signal;
}

int WaitForStopSignal(std::chrono::milliseconds limit) {
  const sigset_t set = StopSignals();
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left = std::max<std::chrono::nanoseconds>(
        deadline - std::chrono::steady_clock::now(), std::chrono::nanoseconds(0));
    const timespec wait = {.tv_sec = static_cast<time_t>(left.count() / 1'000'000'000),
                           .tv_nsec = static_cast<long>(left.count() % 1'000'000'000)};
    const int signal = sigtimedwait(&set, nullptr, &wait);
    if (signal > 0) {
      ExitOnStopSignal();
      return signal;
    }
    if (errno == EAGAIN) return 0;  // EINTR: wait again.
  }
}

void RequestStop(const char* why) {
  const char* nobody = nullptr;
  stop_reason.compare_exchange_strong(nobody, why);
  kill(getpid(), SIGTERM);
}

const char* StopReason() {
  return stop_reason;
}

}  // namespace mentor
