// Channels to several servers, one of which leads: "A:50052,B:50052,C:50052". One is in use. If it
// fails, or names another leader (NOT_LEADER), the next attempt uses another address. Only
// addresses that the user named are used, since calls carry credentials. Thread-safe.
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

// Chooses which of several addresses to try. Pure; one thread at a time.
class AddressChoice {
 public:
  using Clock = std::chrono::steady_clock;
  explicit AddressChoice(std::vector<std::string> addresses)
      : addresses_(std::move(addresses)), broken_at_(addresses_.size()) {}

  size_t current() const { return current_; }
  const std::string& address() const { return addresses_[current_]; }
  // Reports a failure of the current address. Switches to the leader that the status names, if it
  // is in the list and has not failed recently. Otherwise switches to the next address that has not
  // failed recently.
  void Failed(const absl::Status& status, Clock::time_point now);

 private:
  bool Broken(size_t index, Clock::time_point now) const;

  const std::vector<std::string> addresses_;
  std::vector<Clock::time_point> broken_at_;  // Epoch: never.
  size_t current_ = 0;
};

class ChannelList {
 public:
  // `options.address` is one address, or several separated by commas.
  static absl::StatusOr<std::unique_ptr<ChannelList>> Make(const ChannelOptions& options);

  // Returns a channel to the address in use; see ChannelSource.
  std::shared_ptr<grpc::Channel> Get();
  // Reports how a call or a stream on the channel failed. Switches only after errors that another
  // server may cure. With one address, which may stand for several servers, NOT_LEADER causes a new
  // connection.
  void Failed(const absl::Status& status);
  // Returns the address in use.
  std::string address();

 private:
  ChannelList(ChannelOptions options, std::vector<std::string> addresses,
              std::vector<std::unique_ptr<ChannelSource>> sources);

  const ChannelOptions options_;
  const bool several_;
  // Guarded by mutex_.
  Mutex mutex_;
  AddressChoice choice_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<ChannelSource>> sources_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::rpc
