// Takes connections for a gRPC server. gRPC 1.51 would do so itself, but it stops for good when the
// process is out of descriptors once, and it takes as many connections as come: any stranger could
// end a server's life. Owned by a Server; thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>
#include <grpcpp/server_builder.h>
#include <prometheus/counter.h>

#include "common/metrics.h"

namespace mentor::rpc {

// Raises the soft limit of descriptors to the hard one. Once, early in main.
void RaiseDescriptorLimit();

class Acceptor {
 public:
  struct Options {
    std::string address;  // HOST:PORT with a name, 1.2.3.4, [::1] or [::]; port 0 takes a free one.
    // Connections at once; further ones are closed. Never so many that fewer than 256 descriptors,
    // or half of them, stay for the rest of the process.
    int connections_max = 4096;
    // Bytes that may come over a connection before a call on it is let in. gRPC 1.51 itself sets no
    // limit to the metadata that it keeps.
    uint64_t unknown_bytes_max = 16 << 20;
    Metrics* metrics = nullptr;  // May be null.
  };
  // Listens, but takes nothing yet. UNAVAILABLE when the address is taken or not of this machine.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Listen(const Options& options);
  ~Acceptor();

  int port() const { return port_; }
  // Hands connections on from now on. Once.
  void Start(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server);
  // Takes no more; the port is free again. Idempotent.
  void Stop();

 private:
  Acceptor() = default;
  void Run(std::stop_token stop);
  void Take(int listener);
  // Forgets connections that gRPC has closed; ends those of strangers that send too much.
  void Sweep();
  void Forget(size_t index);

  // Fixed after Listen.
  std::vector<int> listeners_;
  int port_ = 0;
  size_t connections_max_ = 0;
  uint64_t unknown_bytes_max_ = 0;
  int wake_ = -1;  // An eventfd: ends the wait.
  prometheus::Counter* refused_ = nullptr;
  prometheus::Counter* ended_ = nullptr;

  struct Connection {
    int descriptor;  // gRPC's. Only looked at: it is another one when the inode differs.
    uint64_t inode;
    std::string peer;
    int own;  // A copy of it while the peer is unknown, to end the connection by; else -1.
  };
  // Used by the thread alone.
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server_;
  std::vector<Connection> connections_;
  int reserve_ = -1;  // Given up for a moment when descriptors run out.

  // Last, so that it stops first.
  std::jthread thread_;
};

}  // namespace mentor::rpc
