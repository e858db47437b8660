#include "cli/ctl/client.h"

#include <algorithm>
#include <cstdio>

#include <absl/strings/str_format.h>
#include <grpcpp/security/auth_context.h>

#include "common/check.h"
#include "common/rpc/health.h"
#include "common/status.h"

namespace mentor::ctl {
namespace {

constexpr rpc::Backoff kBackoff = {.first = std::chrono::milliseconds(100),
                                   .longest = std::chrono::milliseconds(2000)};

}  // namespace

std::optional<std::chrono::milliseconds> RetryAfter(const absl::Status& status, int attempt,
                                                    double uniform) {
  const bool unavailable = status.code() == absl::StatusCode::kUnavailable;
  if (!unavailable && status.code() != absl::StatusCode::kResourceExhausted) return std::nullopt;
  if (const auto told = RetryDelayOf(status)) {
    // Spread the callers that were told the same delay.
    const double told_ms = std::clamp(static_cast<double>(told->count()), 0.0, 3.6e6);
    return std::chrono::milliseconds(static_cast<int64_t>(told_ms * (1 + 0.1 * uniform)) + 1);
  }
  if (!unavailable) return std::nullopt;
  return kBackoff.Delay(attempt, uniform);
}

absl::StatusOr<std::unique_ptr<Client>> Client::Make(Options options) {
  MENTOR_ASSIGN_OR_RETURN(auto channels,
                          rpc::ChannelList::Make({.address = options.server,
                                                  .tls = options.tls,
                                                  .allow_insecure = options.allow_insecure}));
  std::unique_ptr<Client> client(new Client(std::move(options)));
  client->channels_ = std::move(channels);
  return client;
}

std::chrono::milliseconds Client::timeout() const {
  return std::chrono::milliseconds(
      static_cast<int64_t>(std::min(options_.timeout_s, 86400.0) * 1000));
}

std::shared_ptr<grpc::Channel> Client::Channel() {
  auto channel = channels_->Get();
  // This client paces its own attempts; the channel's backoff would add to these pauses.
  grpc::experimental::ChannelResetConnectionBackoff(channel.get());
  return channel;
}

absl::Status Client::Explained(absl::Status status, const std::string& request) {
  if (!absl::IsUnimplemented(status) || !status.message().empty()) return status;
  const std::string program = rpc::ProgramAt(channels_->Get());
  const std::string call = request.substr(0, request.rfind("Request"));
  if (program == "mentor-learner") {
    return absl::UnimplementedError(absl::StrFormat(
        "a mentor-learner answers at %s, which takes actors: name a mentor-meta-learner with "
        "--server",
        server()));
  }
  if (program == "mentor-meta-learner") {
    return absl::UnimplementedError(
        absl::StrFormat("the mentor-meta-learner at %s does not know %s: it is older than this "
                        "program, or this is its admin port; use the same version, and the address "
                        "of its --listen",
                        server(), call));
  }
  return absl::UnimplementedError(
      absl::StrFormat("the program at %s does not know %s: it is not a mentor-meta-learner of this "
                      "version; name one with --server",
                      server(), call));
}

bool Client::interrupted() {
  const MutexLock lock(mutex_);
  return interrupted_;
}

void Client::Interrupt() {
  const MutexLock lock(mutex_);
  interrupted_ = true;
  for (grpc::ClientContext* context : contexts_) context->TryCancel();
  changed_.NotifyAll();
}

bool Client::Wait(std::chrono::milliseconds span) {
  MutexLock lock(mutex_);
  changed_.WaitFor(lock, span,
                   [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return interrupted_; });
  return !interrupted_;
}

bool Client::Begin(grpc::ClientContext* context) {
  // Add the token here, because the channel reads tokens from files only.
  if (!options_.token.empty()) {
    context->AddMetadata("authorization", "Bearer " + options_.token.Reveal());
  }
  const MutexLock lock(mutex_);
  if (!interrupted_) contexts_.push_back(context);
  return !interrupted_;
}

void Client::End(const grpc::ClientContext& context, const std::string& request,
                 const absl::Status& status, std::chrono::steady_clock::time_point began) {
  {
    const MutexLock lock(mutex_);
    contexts_.pop_back();
  }
  if (const auto auth = context.auth_context(); auth != nullptr) {
    const auto pem = auth->FindPropertyValues("x509_pem_cert");
    if (!pem.empty()) server_certificate_ = std::string(pem[0].data(), pem[0].size());
  }
  if (options_.verbose) {
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
    const std::string call = request.substr(0, request.rfind("Request"));
    std::fprintf(stderr, "%s at %s: %s in %.1f ms\n", call.c_str(), server().c_str(),
                 std::string(absl::StatusCodeToString(status.code())).c_str(), ms);
  }
  if (!status.ok()) channels_->Failed(status);
}

}  // namespace mentor::ctl
