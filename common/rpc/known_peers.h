// Connections on which a call has been admitted, by the peer's address as gRPC writes it
// ("ipv4:127.0.0.1:1234"). The acceptor limits the bytes of other connections. Thread-safe.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "common/mutex.h"

namespace mentor::rpc {

class KnownPeers {
 public:
  static void Add(std::string_view peer) {
    if (!peer.starts_with("ipv4:") && !peer.starts_with("ipv6:")) return;
    MutexLock lock(mutex_);
    // Bounded, since some processes have no acceptor that removes entries.
    if (peers_.size() < kPeersMax) peers_.emplace(peer);
  }
  static bool Has(std::string_view peer) {
    MutexLock lock(mutex_);
    return peers_.contains(peer);
  }
  static void Remove(std::string_view peer) {
    MutexLock lock(mutex_);
    if (const auto found = peers_.find(peer); found != peers_.end()) peers_.erase(found);
  }

 private:
  static constexpr size_t kPeersMax = 65'536;
  inline static Mutex mutex_;
  inline static std::set<std::string, std::less<>> peers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::rpc
