#include "common/process/process.h"

#include <cstdio>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/lifecycle.h"
#include "common/log.h"
#include "common/mutex.h"

namespace mentor {
namespace {

int64_t NowNs() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Process>> Process::Start(const Options& options) {
  rpc::RaiseDescriptorLimit();
  std::unique_ptr<Process> process(new Process(options));
  if (!options.admin_address.empty()) {
    MENTOR_ASSIGN_OR_RETURN(process->admin_,
                            rpc::Server::StartAdmin(options.admin_address, options.services));
    std::printf("admin on %s\n", process->admin_->address().c_str());
    std::fflush(stdout);
    process->followers_.push_back(process->admin_.get());
  }
  return process;
}

Process::Process(const Options& options) : options_(options) {}

Process::~Process() = default;

void Process::SetReady(bool ready) {
  for (rpc::Server* server : followers_) server->SetReady(ready);
}

int Process::Run() {
  beat_ns_ = NowNs();
  watchdog_ = std::jthread([this](std::stop_token stop) { Watch(stop); });
  bool ready = !ready_while_ || ready_while_();
  SetReady(ready);
  int signal = 0;
  while ((signal = WaitForStopSignal(options_.period)) == 0) {
    MENTOR_FAILPOINT("process.loop");
    beat_ns_ = NowNs();
    if (!ready_while_ || ready_while_() == ready) continue;
    ready = !ready;
    MENTOR_LOG(kWarning, ready ? "ready again" : "not ready any more");
    SetReady(ready);
  }
  // The watchdog ends here, since a drain may take long.
  watchdog_ = {};
  LogStop(signal);
  SetReady(false);
  StopRequestedWithin(std::stop_token(), options_.drain_delay);
  return signal;
}

int Process::StandBy(const std::function<std::optional<bool>()>& look) {
  // Nothing to drain and no slow work here: the watchdog begins with Run.
  constexpr std::chrono::milliseconds kLook{100};
  bool available = false;
  while (true) {
    const int signal = WaitForStopSignal(kLook);
    const std::optional<bool> now = signal == 0 ? look() : false;
    if (!now) return 0;
    if (std::exchange(available, *now) != *now) {
      for (rpc::Server* server : followers_) server->SetAvailable(available);
    }
    if (signal == 0) continue;
    LogStop(signal);
    return signal;
  }
}

void Process::LogStop(int signal) const {
  const int64_t drain_delay_ms = options_.drain_delay.count();
  if (const char* why = StopReason(); why != nullptr) {
    MENTOR_LOG(kInfo, "stopping", {{"why", why}, {"drain_delay_ms", drain_delay_ms}});
  } else {
    MENTOR_LOG(kInfo, "stopping", {{"signal", signal}, {"drain_delay_ms", drain_delay_ms}});
  }
}

void Process::Watch(std::stop_token stop) {
  bool live = true;
  while (!StopRequestedWithin(stop, options_.period)) {
    const bool now_live =
        NowNs() - beat_ns_ <= std::chrono::nanoseconds(options_.stuck_after).count();
    if (now_live == live) continue;
    live = now_live;
    MENTOR_LOG(kError, live ? "the main loop runs again" : "the main loop is stuck");
    for (rpc::Server* server : followers_) server->SetLive(live);
  }
}

}  // namespace mentor
