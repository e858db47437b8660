// Accepts connections for a gRPC server. gRPC 1.51's own acceptor stops for good once the process
// runs out of descriptors, and it accepts any number of connections. Any stranger could thus stop a
// server. Owned by a Server; thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <absl/status/statusor.h>
#include <grpcpp/server_builder.h>
#include <prometheus/counter.h>

#include "common/file.h"
#include "common/metrics.h"

namespace mentor::rpc {

// Raises the soft limit of descriptors to the hard limit. Call once, early in main.
void RaiseDescriptorLimit();

class Acceptor {
 public:
  struct Options {
    // HOST:PORT with a name, 1.2.3.4, [::1] or [::]; port 0 chooses a free one.
    std::string address;
    // Maximum connections at once; further ones are closed. Reduced if needed, so that 256
    // descriptors, or half of all, remain for the rest of the process.
    int connections_max = 4096;
    // Maximum bytes over a connection before a call on it is admitted. gRPC 1.51 itself sets no
    // limit to the metadata that it keeps.
    uint64_t unknown_bytes_max = 16 << 20;
    Metrics* metrics = nullptr;  // May be null.
  };
  // Listens, but accepts nothing yet. UNAVAILABLE if the address is taken or does not belong to
  // this machine.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Listen(const Options& options);
  ~Acceptor();

  int port() const { return port_; }
  // Begins to pass connections to the server. Call once.
  void Start(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server);
  // Accepts no more connections, and frees the port. Idempotent.
  void Stop();

 private:
  Acceptor() = default;
  void Run(std::stop_token stop);
  void Take(int listener);
  // Forgets connections that gRPC has closed; closes those of strangers that send too much.
  void Sweep();
  void Forget(size_t index);

  // Fixed after Listen.
  std::vector<OpenedFile> listeners_;
  int port_ = 0;
  size_t connections_max_ = 0;
  uint64_t unknown_bytes_max_ = 0;
  OpenedFile wake_;  // An eventfd that ends the wait.
  prometheus::Counter* refused_ = nullptr;
  prometheus::Counter* ended_ = nullptr;

  struct Connection {
    // Owned by gRPC, only inspected here. Another inode means that the number was reused.
    int descriptor;
    uint64_t inode;
    std::string peer;
    OpenedFile own;  // A duplicate to end the connection by, while the peer is unknown.
  };
  // Used only by the thread.
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server_;
  std::vector<Connection> connections_;
  OpenedFile reserve_;  // Released for a moment when descriptors run out.

  // Last member, so that it stops first.
  std::jthread thread_;
};

}  // namespace mentor::rpc
