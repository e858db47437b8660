// The frame of a server process: the admin port, readiness, the watchdog of the main loop, the wait
// for the end. Made in main before anything slow, so that probes get answers while the rest starts.
//
//   auto process = Process::Start({.admin_address = flags.admin_address, ...});
//   ...start; process->Follow(server)...
//   process->Run();        // Ready until a stop signal; then not ready, and the drain delay is
//   over.
//   ...drain...
//
// Health says: "liveness" as long as the main loop goes round, whatever peers do; "readiness", ""
// and the services' names between Run's begin and the stop signal.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <absl/status/statusor.h>

#include "common/rpc/server.h"

namespace mentor {

class Process {
 public:
  struct Options {
    std::string admin_address;          // HOST:PORT, port 0 takes a free one; empty: no admin port.
    std::vector<std::string> services;  // Whose health is the process's.
    // From "not ready" to the drain: time for load balancers to notice.
    std::chrono::milliseconds drain_delay{0};
    // The main loop goes round once a period; after so long without, the process is not live.
    std::chrono::milliseconds period{1000};
    std::chrono::milliseconds stuck_after{30'000};
  };
  // Prints "admin on HOST:PORT" when there is such a port. UNAVAILABLE when the address is taken.
  static absl::StatusOr<std::unique_ptr<Process>> Start(const Options& options);
  ~Process();

  // This server's health says the same. Before Run; the server outlives it.
  void Follow(rpc::Server* server) { followers_.push_back(server); }
  // Main thread only, once. The signal's number; a second signal ends the process at once.
  int Run();

  // HOST:PORT of the admin port with the real port; empty without one.
  std::string admin_address() const { return admin_ == nullptr ? "" : admin_->address(); }

 private:
  explicit Process(const Options& options);
  void SetReady(bool ready);
  void Watch(std::stop_token stop);

  // Fixed after Run begins.
  const Options options_;
  std::unique_ptr<rpc::Server> admin_;
  std::vector<rpc::Server*> followers_;

  std::atomic<int64_t> beat_ns_{0};  // Of the steady clock; 0 outside the loop.
  std::mutex mutex_;                 // For the waits alone.
  std::condition_variable_any changed_;
  // Last, so that it stops first.
  std::jthread watchdog_;
};

}  // namespace mentor
