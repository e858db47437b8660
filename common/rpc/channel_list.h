// Channels to servers of which one leads: "A:50052,B:50052,C:50052", as users name them. One is in
// use; when it fails, or says that another one leads (NOT_LEADER), the next attempt goes elsewhere.
// Only to addresses that the user named, whatever a server says: calls carry credentials.
// Thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <grpcpp/channel.h>

#include "common/mutex.h"
#include "common/rpc/channel.h"

namespace mentor::rpc {

// Which of several addresses to try. Pure; one thread at a time.
class AddressChoice {
 public:
  using Clock = std::chrono::steady_clock;
  explicit AddressChoice(std::vector<std::string> addresses)
      : addresses_(std::move(addresses)), broken_at_(addresses_.size()) {}

  size_t current() const { return current_; }
  const std::string& address() const { return addresses_[current_]; }
  // An attempt with the current one failed like this: the leader that the status names, if it is
  // one of ours and has not just failed itself; else the next one that has not.
  void Failed(const absl::Status& status, Clock::time_point now);

 private:
  bool Broken(size_t index, Clock::time_point now) const;

  const std::vector<std::string> addresses_;
  std::vector<Clock::time_point> broken_at_;  // 0: never.
  size_t current_ = 0;
};

class ChannelList {
 public:
  // `options.address` is one address, or several with commas between them.
  static absl::StatusOr<std::unique_ptr<ChannelList>> Make(const ChannelOptions& options);

  // To the address in use; see ChannelSource.
  std::shared_ptr<grpc::Channel> Get();
  // What came of it: a call or a stream on it has ended like this. Only what another server may
  // cure leads elsewhere. With one address, behind which there may be several servers, NOT_LEADER
  // asks for a new connection.
  void Failed(const absl::Status& status);
  // The one in use.
  std::string address();

 private:
  ChannelList(ChannelOptions options, std::vector<std::string> addresses,
              std::vector<std::unique_ptr<ChannelSource>> sources);

  // Fixed after construction.
  const ChannelOptions options_;
  const bool several_;
  // Guarded by mutex_.
  Mutex mutex_;
  AddressChoice choice_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<ChannelSource>> sources_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::rpc
