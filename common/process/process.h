// The frame of a server process: admin port, readiness, watchdog of the main loop, wait for the
// stop signal. Created in main before anything slow, so that probes get answers during startup.
//
//   auto process = Process::Start({.admin_address = flags.admin_address, ...});
//   ...start; process->Follow(server)...
//   process->Run();  // Ready until a stop signal; then not ready for the drain delay.
//   ...drain...
//
// Health answers SERVING for "liveness" as long as the main loop runs, whatever peers do. For
// "readiness", "" and the services' names it answers SERVING from the start of Run to the stop
// signal. "available" is like "readiness", but may also serve during StandBy.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "common/rpc/server.h"

namespace mentor {

class Process {
 public:
  struct Options {
    std::string admin_address;  // HOST:PORT, port 0 chooses a free one; empty: no admin port.
    std::vector<std::string> services;  // Their health is the health of the process.
    // Time from "not ready" to the drain, for load balancers to notice.
    std::chrono::milliseconds drain_delay{0};
    // The main loop runs once each period. The process is not live after `stuck_after` without a
    // round.
    std::chrono::milliseconds period{1000};
    std::chrono::milliseconds stuck_after{30'000};
  };
  // Prints "admin on HOST:PORT" if there is an admin port. UNAVAILABLE if the address is taken.
  static absl::StatusOr<std::unique_ptr<Process>> Start(const Options& options);
  ~Process();

  // Gives the server the health of the process. Call before Run; the server must outlive the
  // process object.
  void Follow(rpc::Server* server) { followers_.push_back(server); }
  // During Run, the process is ready only while `ready` returns true; called each period.
  void ReadyWhile(std::function<bool()> ready) { ready_while_ = std::move(ready); }
  // Call once, on the main thread only. Returns the signal's number; a second signal ends the
  // process at once.
  int Run();

  // Call before Run in a process that stands by for another one: live, not ready, and "available"
  // as `look` says. Returns 0 once `look` returns nothing: standing by is over. Returns the
  // signal's number after a stop signal; Run must not be called then.
  int StandBy(const std::function<std::optional<bool>()>& look);

  // HOST:PORT of the admin port with the actual port; empty without an admin port.
  std::string admin_address() const { return admin_ == nullptr ? "" : admin_->address(); }

 private:
  explicit Process(const Options& options);
  void SetReady(bool ready);
  void LogStop(int signal) const;
  void Watch(std::stop_token stop);

  // Fixed after Run begins.
  const Options options_;
  std::unique_ptr<rpc::Server> admin_;
  std::vector<rpc::Server*> followers_;
  std::function<bool()> ready_while_;

  std::atomic<int64_t> beat_ns_{0};  // Time of the last round; 0 outside the loop.
  // Last member, so that it stops first.
  std::jthread watchdog_;
};

}  // namespace mentor
