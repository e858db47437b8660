// Connections over which a call has come that was let in, by the peer's address as gRPC writes it
// ("ipv4:127.0.0.1:1234"). The acceptor asks: who is not known may send little. Thread-safe.
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <string_view>

namespace mentor::rpc {

class KnownPeers {
 public:
  static void Add(std::string_view peer) {
    if (!peer.starts_with("ipv4:") && !peer.starts_with("ipv6:")) return;
    std::lock_guard lock(mutex_);
    // Bounded all the same where nobody asks.
    if (peers_.size() < kPeersMax) peers_.emplace(peer);
  }
  static bool Has(std::string_view peer) {
    std::lock_guard lock(mutex_);
    return peers_.contains(peer);
  }
  static void Remove(std::string_view peer) {
    std::lock_guard lock(mutex_);
    if (const auto found = peers_.find(peer); found != peers_.end()) peers_.erase(found);
  }

 private:
  static constexpr size_t kPeersMax = 65'536;
  inline static std::mutex mutex_;
  inline static std::set<std::string, std::less<>> peers_;  // Guarded by mutex_.
};

}  // namespace mentor::rpc
