#include "common/rpc/channel.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <grpcpp/create_channel.h>

#include "common/check.h"
#include "common/rpc/callback_threads.h"
#include "common/rpc/server.h"

namespace mentor::rpc {

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options) {
  if (options.address.find(':') == std::string::npos) {
    return absl::InvalidArgumentError("address '" + options.address + "': expected HOST:PORT");
  }
  MENTOR_ASSIGN_OR_RETURN(auto credentials, MakeChannelCredentials(options.address, options.tls));
  KeepCallbackThreads();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000);  // An attempt, handshake and all, may take this long.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 20'000);
  // Channels of one process to one address do not share a connection by accident.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!options.tls_server_name.empty()) arguments.SetSslTargetNameOverride(options.tls_server_name);
  return grpc::CreateCustomChannel(options.address, credentials, arguments);
}

std::chrono::milliseconds Backoff::Delay(int attempt, double uniform) const {
  const double bound = std::min(static_cast<double>(longest.count()),
                                static_cast<double>(first.count()) * std::pow(factor, std::min(attempt, 60)));
  return std::chrono::milliseconds(static_cast<int64_t>(std::ceil(bound * uniform)));
}

Reconnector::Reconnector(const Backoff& backoff) : backoff_(backoff), random_(std::random_device()()) {}

bool Reconnector::Wait(std::chrono::milliseconds at_least) {
  std::unique_lock lock(mutex_);
  if (std::exchange(first_, false)) return !stopped_;
  const auto now = std::chrono::steady_clock::now();
  if (std::exchange(connected_, false) && now - connected_at_ >= backoff_.healthy) attempt_ = 0;
  // Knuth's linear generator is enough to spread a fleet; nothing of a result depends on it.
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;
  const double uniform = (static_cast<double>(random_ >> 40) + 0.5) / static_cast<double>(1 << 24);
  const auto delay = std::max(at_least, backoff_.Delay(attempt_++, uniform));
  changed_.wait_until(lock, now + delay, [&] { return stopped_; });
  return !stopped_;
}

void Reconnector::Connected() {
  std::lock_guard lock(mutex_);
  connected_ = true;
  connected_at_ = std::chrono::steady_clock::now();
}

void Reconnector::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace mentor::rpc
