#include "common/rpc/channel_list.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/rpc/address.h"
#include "common/status.h"

namespace mentor::rpc {
namespace {

// Time for which a failed address is tried after the others. Until a takeover, a standby server
// names a leader that is gone.
constexpr std::chrono::seconds kBroken{2};

bool IsNotLeader(const absl::Status& status) {
  return ReasonOf(status) == ReasonName(Reason::kNotLeader);
}

}  // namespace

bool AddressChoice::Broken(size_t index, Clock::time_point now) const {
  return broken_at_[index] != Clock::time_point() && now - broken_at_[index] < kBroken;
}

void AddressChoice::Failed(const absl::Status& status, Clock::time_point now) {
  broken_at_[current_] = IsNotLeader(status) ? Clock::time_point() : now;
  if (const auto leader = MetadataOf(status, "leader"); leader && IsNotLeader(status)) {
    const auto named = std::find(addresses_.begin(), addresses_.end(), *leader);
    const size_t index = static_cast<size_t>(named - addresses_.begin());
    if (named != addresses_.end() && index != current_ && !Broken(index, now)) {
      current_ = index;
      return;
    }
  }
  for (size_t i = 1; i <= addresses_.size(); ++i) {
    const size_t index = (current_ + i) % addresses_.size();
    if (Broken(index, now)) continue;
    current_ = index;
    return;
  }
  current_ = (current_ + 1) % addresses_.size();
}

absl::StatusOr<std::unique_ptr<ChannelList>> ChannelList::Make(const ChannelOptions& options) {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> addresses,
                          ParseAddresses(options.address, kServersMax));
  ChannelOptions one = options;
  if (addresses.size() > 1) one.connect = kConnectOneOfSeveral;
  std::vector<std::unique_ptr<ChannelSource>> sources;
  for (const std::string& address : addresses) {
    one.address = address;
    MENTOR_ASSIGN_OR_RETURN(auto source, ChannelSource::Make(one));
    sources.push_back(std::move(source));
  }
  return std::unique_ptr<ChannelList>(
      new ChannelList(std::move(one), addresses, std::move(sources)));
}

ChannelList::ChannelList(ChannelOptions options, std::vector<std::string> addresses,
                         std::vector<std::unique_ptr<ChannelSource>> sources)
    : options_(std::move(options)),
      several_(addresses.size() > 1),
      choice_(std::move(addresses)),
      sources_(std::move(sources)) {}

std::shared_ptr<grpc::Channel> ChannelList::Get() {
  const MutexLock lock(mutex_);
  return sources_[choice_.current()]->Get();
}

void ChannelList::Failed(const absl::Status& status) {
  if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return;
  const MutexLock lock(mutex_);
  if (several_) {
    choice_.Failed(status, AddressChoice::Clock::now());
  } else if (IsNotLeader(status)) {
    auto source = ChannelSource::Make(options_);
    if (source.ok()) sources_[0] = *std::move(source);
  }
}

std::string ChannelList::address() {
  const MutexLock lock(mutex_);
  return choice_.address();
}

}  // namespace mentor::rpc
