// Channels with this project's settings, and the patience between two attempts to connect.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/statusor.h>
#include <grpcpp/channel.h>

#include "common/mutex.h"
#include "common/rng.h"
#include "common/rpc/credentials.h"

namespace mentor::rpc {

// An attempt to connect, handshake and all, may take this long when there are other servers to turn
// to.
inline constexpr std::chrono::milliseconds kConnectOneOfSeveral{3000};

struct ChannelOptions {
  std::string address;  // HOST:PORT, or any name that gRPC resolves.
  // One of the addresses that `address` stands for (ResolveAddress): the only one to connect to.
  // Credentials go by `address`. Empty: gRPC looks the address up.
  std::string endpoint = {};
  TlsFiles tls = {};
  // The name in the server's certificate when it differs from the host of `address`.
  std::string tls_server_name = {};
  // File of the token that goes with each call; empty: none. Read again when it changes.
  std::string token_file = {};
  // Plain text beyond loopback.
  bool allow_insecure = false;
  Metrics* metrics = nullptr;  // May be null.
  // An attempt to connect, handshake and all, may take this long.
  std::chrono::milliseconds connect{10'000};
};

// INVALID_ARGUMENT names the flag or file that is wrong, and the remedy.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options);

// A channel for code that connects again and again: when certificate files have changed since the
// last time, a new one. Streams on the old one go on. Thread-safe.
class ChannelSource {
 public:
  static absl::StatusOr<std::unique_ptr<ChannelSource>> Make(const ChannelOptions& options);
  // Reads the files (small, local); what is broken is logged, and the old channel comes back.
  std::shared_ptr<grpc::Channel> Get();
  // A new channel to another server with the same credentials; see ChannelOptions.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> To(const std::string& address,
                                                    const std::string& endpoint,
                                                    std::chrono::milliseconds connect);

 private:
  ChannelSource(ChannelOptions options, std::shared_ptr<TokenFile> token,
                std::shared_ptr<TlsReloader> tls, std::shared_ptr<grpc::Channel> channel);

  // Fixed after construction; null without a token, without TLS.
  const ChannelOptions options_;
  const std::shared_ptr<TokenFile> token_;
  const std::shared_ptr<TlsReloader> tls_;

  // Guarded by mutex_.
  Mutex mutex_;
  std::shared_ptr<grpc::Channel> channel_ ABSL_GUARDED_BY(mutex_);
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 1;  // Of the certificates that it has.
};

// How long to wait before attempt n. Pure.
struct Backoff {
  std::chrono::milliseconds first{100};
  std::chrono::milliseconds longest{5000};
  double factor = 2;
  // A connection that lasted this long was a good one: the next wait is the first again.
  std::chrono::milliseconds healthy{30000};

  // Full jitter: uniform in (0, min(longest, first * factor^attempt)); attempt counts from 0,
  // uniform is in (0, 1).
  std::chrono::milliseconds Delay(int attempt, double uniform) const;
};

// What spreads the waits of a fleet: uniform in (0, 1). Nothing of a result depends on it.
class Jitter {
 public:
  Jitter();
  double Next() { return random_.Uniform(next_++, /*draw=*/0); }

 private:
  const RandomStream random_;
  uint32_t next_ = 0;
};

// Waits between attempts; one loop calls Wait, anyone may Stop. Thread-safe.
//
//   while (reconnector.Wait()) {     // The first call returns at once.
//     ...open a stream; reconnector.Connected() once it works; wait for its end...
//   }
//
// keep_open.h is that loop for streams.
class Reconnector {
 public:
  explicit Reconnector(const Backoff& backoff = Backoff());

  // False once stopped. at_least: for refusals that time alone does not cure.
  bool Wait(std::chrono::milliseconds at_least = std::chrono::milliseconds(0));
  // A wait that somebody else has chosen. False once stopped.
  bool WaitFor(std::chrono::milliseconds delay);
  void Connected();
  void Stop();
  bool stopped();

 private:
  // Fixed after construction.
  const Backoff backoff_;

  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool first_ ABSL_GUARDED_BY(mutex_) = true;
  int attempt_ ABSL_GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point connected_at_ ABSL_GUARDED_BY(mutex_);
  bool connected_ ABSL_GUARDED_BY(mutex_) = false;
  Jitter jitter_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::rpc
