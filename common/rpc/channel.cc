#include "common/rpc/channel.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "common/check.h"
#include "common/log.h"
#include "common/rpc/address.h"
#include "common/rpc/callback_threads.h"
#include "common/rpc/proxy.h"
#include "common/rpc/server.h"

namespace mentor::rpc {

namespace {

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannelOf(
    const ChannelOptions& options, const TlsTexts& tls, const std::shared_ptr<TokenFile>& token) {
  MENTOR_ASSIGN_OR_RETURN(const std::string address,
                          ParseAddress(options.address, AddressOf::kPeer));
  bool token_apart = false;
  MENTOR_ASSIGN_OR_RETURN(
      auto credentials,
      MakeChannelCredentials(address, tls, token, options.allow_insecure, &token_apart));
  KeepCallbackThreads();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(options.connect.count()));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 20'000);
  // Keeps channels of one process to one address from sharing a connection by accident.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!options.endpoint.empty() && options.endpoint != address && !tls.authority.empty())
    arguments.SetSslTargetNameOverride(HostOf(address));
  ChannelParts parts = {.endpoint = options.endpoint, .arguments = std::move(arguments)};
  if (token_apart) {
    // Over plain text channel credentials cannot send the token with each call.
    parts.Intercept(InterceptionPoint::PRE_SEND_INITIAL_METADATA, [token](auto* methods) {
      methods->GetSendInitialMetadata()->emplace("authorization",
                                                 "Bearer " + token->Get().Reveal());
    });
  }
  return ConnectTo(address, credentials, std::move(parts));
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options) {
  MENTOR_ASSIGN_OR_RETURN(const auto source, ChannelSource::Make(options));
  return source->Get();
}

absl::StatusOr<std::unique_ptr<ChannelSource>> ChannelSource::Make(const ChannelOptions& options) {
  std::shared_ptr<TokenFile> token;
  if (!options.token_file.empty()) {
    MENTOR_ASSIGN_OR_RETURN(token, TokenFile::Open(options.token_file));
  }
  std::shared_ptr<TlsReloader> tls;
  std::shared_ptr<const TlsTexts> texts = std::make_shared<const TlsTexts>();
  if (!options.tls.empty()) {
    MENTOR_ASSIGN_OR_RETURN(tls, TlsReloader::Make(options.tls, options.metrics));
    uint64_t version = 0;
    texts = tls->texts(&version);
  }
  MENTOR_ASSIGN_OR_RETURN(auto channel, MakeChannelOf(options, *texts, token));
  return std::unique_ptr<ChannelSource>(
      new ChannelSource(options, std::move(token), std::move(tls), std::move(channel)));
}

ChannelSource::ChannelSource(ChannelOptions options, std::shared_ptr<TokenFile> token,
                             std::shared_ptr<TlsReloader> tls,
                             std::shared_ptr<grpc::Channel> channel)
    : options_(std::move(options)),
      token_(std::move(token)),
      tls_(std::move(tls)),
      channel_(std::move(channel)) {}

std::shared_ptr<grpc::Channel> ChannelSource::Get() {
  MutexLock lock(mutex_);
  if (tls_ == nullptr) return channel_;
  tls_->Reload();
  uint64_t version = 0;
  const auto texts = tls_->texts(&version);
  if (std::exchange(version_, version) == version) return channel_;
  auto channel = MakeChannelOf(options_, *texts, token_);
  if (channel.ok()) {
    channel_ = *std::move(channel);
  } else {
    MENTOR_LOG(kError, "no channel with the new certificates", {{"error", channel.status()}});
  }
  return channel_;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelSource::To(
    const std::string& address, const std::string& endpoint, std::chrono::milliseconds connect) {
  ChannelOptions options = options_;
  options.connect = connect;
  options.address = address;
  options.endpoint = endpoint;
  TlsTexts texts;
  if (tls_ != nullptr) {
    tls_->Reload();
    uint64_t version = 0;
    texts = *tls_->texts(&version);
  }
  return MakeChannelOf(options, texts, token_);
}

std::chrono::milliseconds Backoff::Delay(int attempt, double uniform) const {
  const double bound =
      std::min(static_cast<double>(longest.count()),
               static_cast<double>(first.count()) * std::pow(factor, std::min(attempt, 60)));
  return std::chrono::milliseconds(static_cast<int64_t>(std::ceil(bound * uniform)));
}

Jitter::Jitter() : random_{.seed = std::random_device()()} {}

Reconnector::Reconnector(const Backoff& backoff) : backoff_(backoff) {}

bool Reconnector::Wait(std::chrono::milliseconds at_least) {
  MutexLock lock(mutex_);
  if (std::exchange(first_, false)) return !stopped_;
  const auto now = std::chrono::steady_clock::now();
  if (std::exchange(connected_, false) && now - connected_at_ >= backoff_.healthy) attempt_ = 0;
  const auto delay = std::max(at_least, backoff_.Delay(attempt_++, jitter_.Next()));
  changed_.WaitUntil(lock, now + delay,
                     [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_; });
  return !stopped_;
}

bool Reconnector::WaitFor(std::chrono::milliseconds delay) {
  MutexLock lock(mutex_);
  changed_.WaitFor(lock, delay, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_; });
  return !stopped_;
}

void Reconnector::Connected() {
  MutexLock lock(mutex_);
  connected_ = true;
  connected_at_ = std::chrono::steady_clock::now();
}

void Reconnector::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.NotifyAll();
}

bool Reconnector::stopped() {
  MutexLock lock(mutex_);
  return stopped_;
}

}  // namespace mentor::rpc
