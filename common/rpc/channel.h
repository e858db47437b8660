// Channels with this project's settings, and delays between attempts to connect.
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

// Time limit of an attempt to connect, including the handshake, if there are several servers to
// try.
inline constexpr std::chrono::milliseconds kConnectOneOfSeveral{3000};

struct ChannelOptions {
  std::string address;  // HOST:PORT, or any name that gRPC resolves.
  // One of the addresses that `address` resolves to (ResolveAddress): the only one to connect to.
  // Credentials are checked against `address`. Empty: gRPC resolves `address`.
  std::string endpoint = {};
  TlsFiles tls = {};
  // File of the token that is sent with each call; empty: none. Read again when it changes.
  std::string token_file = {};
  // Allow plain text beyond loopback.
  bool allow_insecure = false;
  Metrics* metrics = nullptr;  // May be null.
  // Time limit of an attempt to connect, including the handshake.
  std::chrono::milliseconds connect{10'000};
};

// INVALID_ARGUMENT names the flag or file that is wrong, and the remedy.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options);

// A source of channels for code that reconnects. Returns a new channel if certificate files have
// changed since the last call. Streams on the old channel continue. Thread-safe.
class ChannelSource {
 public:
  static absl::StatusOr<std::unique_ptr<ChannelSource>> Make(const ChannelOptions& options);
  // Reads the files, which are small and local. Errors are logged, and the old channel is returned.
  std::shared_ptr<grpc::Channel> Get();
  // Returns a new channel to another server with the same credentials; see ChannelOptions.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> To(const std::string& address,
                                                    const std::string& endpoint,
                                                    std::chrono::milliseconds connect);

 private:
  ChannelSource(ChannelOptions options, std::shared_ptr<TokenFile> token,
                std::shared_ptr<TlsReloader> tls, std::shared_ptr<grpc::Channel> channel);

  // Fixed after construction; null without a token or without TLS.
  const ChannelOptions options_;
  const std::shared_ptr<TokenFile> token_;
  const std::shared_ptr<TlsReloader> tls_;

  Mutex mutex_;
  std::shared_ptr<grpc::Channel> channel_ ABSL_GUARDED_BY(mutex_);
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 1;  // Version of its certificates.
};

// Delay before attempt n. Pure.
struct Backoff {
  std::chrono::milliseconds first{100};
  std::chrono::milliseconds longest{5000};
  double factor = 2;
  // After a connection that lasted this long, the delay starts again from the first.
  std::chrono::milliseconds healthy{30000};

  // Full jitter: uniform in (0, min(longest, first * factor^attempt)). `attempt` counts from 0;
  // `uniform` is in (0, 1).
  std::chrono::milliseconds Delay(int attempt, double uniform) const;
};

// Spreads the delays of a fleet: uniform in (0, 1). No result depends on it.
class Jitter {
 public:
  Jitter();
  double Next() { return random_.Uniform(next_++, /*draw=*/0); }

 private:
  const RandomStream random_;
  uint32_t next_ = 0;
};

// Waits between attempts. One loop calls Wait; any thread may call Stop. Thread-safe.
//
//   while (reconnector.Wait()) {     // The first call returns at once.
//     ...open a stream; reconnector.Connected() once it works; wait for its end...
//   }
//
// keep_open.h is that loop for streams.
class Reconnector {
 public:
  explicit Reconnector(const Backoff& backoff = Backoff());

  // Returns false once stopped. at_least: minimum delay, for refusals that time alone does not
  // cure.
  bool Wait(std::chrono::milliseconds at_least = std::chrono::milliseconds(0));
  // Waits for a given delay. Returns false once stopped.
  bool WaitFor(std::chrono::milliseconds delay);
  void Connected();
  void Stop();
  bool stopped();

 private:
  const Backoff backoff_;

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
