#include "common/lifecycle.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

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

}  // namespace

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
  ExitOnStopSignal();  // Whoever asks twice does not want to wait for the drain.
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
    if (errno == EAGAIN) return 0;  // EINTR: once more.
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
