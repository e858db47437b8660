// The frame of a server process: the admin port, readiness, the watchdog of the main loop, the wait
// for the end. Made in main before anything slow, so that probes get answers while the rest starts.
//
//   auto process = Process::Start({.admin_address = flags.admin_address, ...});
//   ...start; process->Follow(server)...
//   process->Run();  // Ready until a stop signal; then not ready, and the drain delay is over.
//   ...drain...
//
// Health answers SERVING for "liveness" as long as the main loop runs, whatever peers do, and for
// "readiness", "" and the services' names from the beginning of Run to the stop signal; for
// "available" also while it stands by for another one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
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
    std::string admin_address;          // HOST:PORT, port 0 takes a free one; empty: no admin port.
    std::vector<std::string> services;  // They are as healthy as the process.
    // From "not ready" to the drain: time for load balancers to notice.
    std::chrono::milliseconds drain_delay{0};
    // The main loop makes one round each period; after this long without a round the process is not
    // live.
    std::chrono::milliseconds period{1000};
    std::chrono::milliseconds stuck_after{30'000};
  };
  // Prints "admin on HOST:PORT" when there is such a port. UNAVAILABLE when the address is taken.
  static absl::StatusOr<std::unique_ptr<Process>> Start(const Options& options);
  ~Process();

  // This server's health says the same. Before Run; the server outlives it.
  void Follow(rpc::Server* server) { followers_.push_back(server); }
  // While Run goes on, ready only as long as `ready` says so, which is asked each period.
  void ReadyWhile(std::function<bool()> ready) { ready_while_ = std::move(ready); }
  // Main thread only, once. The signal's number; a second signal ends the process at once.
  int Run();

  // Before Run, for a process that stands by for another one: live and not ready, "available" as
  // `look` says, until `look` says that this is over: 0. Or until a stop signal, whose number comes
  // back, and Run is not called.
  struct Standing {
    bool over = false;
    bool available = false;
  };
  int StandBy(const std::function<Standing()>& look);

  // HOST:PORT of the admin port with the real port; empty without one.
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
  // Last, so that it stops first.
  std::jthread watchdog_;
};

}  // namespace mentor
