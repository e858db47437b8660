// Transfers bundles between processes: both ends of FetchBundle, a method of several services.
// Servers send what FindBundle finds, on threads of their own. Clients fetch what their cache
// lacks, piece by piece, with retries. Pushing is elsewhere
// (meta_learner/control/bundle_service.h). Thread-safe.
//
//   rpc::BundleFetcher fetcher(rpc::FetchFrom<v1::RolloutService>([&] { return channel; }));
//   rpc::UseBundleCache({.folder = "..."}, &fetcher, metrics);  // From here on FindBundle fetches.
//   ...
//   fetcher.Stop();                                      // Ends all waits for bundles.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include <absl/status/statusor.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "common/bundle.h"
#include "common/bundle_cache.h"
#include "common/bundle_finder.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "common/rpc/channel.h"
#include "common/rpc/executor.h"
#include "mentor/v1/bundle.pb.h"

namespace mentor::rpc {

inline constexpr size_t kBundlePieceBytes = 1 << 20;

// Returns the answer to one request. OUT_OF_RANGE beyond the end.
absl::StatusOr<v1::FetchBundleResponse> ReadBundlePiece(const HeldBundle& bundle, uint64_t offset);

// Serves pieces of the bundles that a finder finds. Recently requested bundles are held, so that a
// bundle is verified once and not for each piece. Beyond the limit, the bundle that can be verified
// fastest is released.
class BundlePieces {
 public:
  explicit BundlePieces(BundleFinder find, size_t held_max = 64)
      : find_(std::move(find)), held_max_(held_max) {}

  // If the files of a held bundle are gone, finds the bundle again and retries once.
  absl::StatusOr<v1::FetchBundleResponse> Read(const std::string& digest, uint64_t offset);

 private:
  using Clock = std::chrono::steady_clock;
  struct Held {
    std::shared_ptr<const HeldBundle> bundle;
    Clock::time_point until;
  };
  absl::StatusOr<std::shared_ptr<const HeldBundle>> Hold(const std::string& digest);
  bool LetGo();

  const BundleFinder find_;
  const size_t held_max_;
  Mutex mutex_;
  std::map<std::string, Held> held_ ABSL_GUARDED_BY(mutex_);
};

// Answers FetchBundle for a service. Must be stopped before the server shuts down.
class BundleServer {
 public:
  BundleServer();
  ~BundleServer() { Stop(); }

  grpc::ServerUnaryReactor* Fetch(grpc::CallbackServerContext* context,
                                  const v1::FetchBundleRequest* request,
                                  v1::FetchBundleResponse* response);
  // Refuses new calls as draining; waits for running ones. Idempotent.
  void Stop();

 private:
  absl::StatusOr<v1::FetchBundleResponse> Answer(const v1::FetchBundleRequest& request);

  BundlePieces pieces_;
  std::atomic<bool> stopping_ = false;
  Executor executor_;  // By digest. Last member, so that it stops first.
};

class BundleFetcher {
 public:
  using Call = std::function<grpc::Status(grpc::ClientContext*, const v1::FetchBundleRequest&,
                                          v1::FetchBundleResponse*)>;
  struct Patience {
    std::chrono::milliseconds call{60'000};    // Limit for one answer.
    std::chrono::milliseconds total{180'000};  // Limit without any progress.
    Backoff backoff = {};
  };
  explicit BundleFetcher(Call call) : BundleFetcher(std::move(call), Patience()) {}
  BundleFetcher(Call call, const Patience& patience)
      : call_(std::move(call)), patience_(patience) {}

  // Fetches a bundle for a cache. The source returns the peer's bytes unchecked; WriteBundle
  // verifies them. DATA_LOSS if the peer's list does not match the digest.
  absl::StatusOr<BundleCache::Fetched> Fetch(const std::string& digest);
  // Ends current and later calls at once with CANCELLED.
  void Stop();
  // Returns false if Stop ends the wait.
  bool WaitFor(std::chrono::milliseconds span);

 private:
  absl::StatusOr<v1::FetchBundleResponse> Piece(const std::string& digest, uint64_t offset);
  absl::Status CallOnce(const v1::FetchBundleRequest& request, v1::FetchBundleResponse* response);

  const Call call_;
  const Patience patience_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<grpc::ClientContext*> running_ ABSL_GUARDED_BY(mutex_);
};

// Calls a service on the current channel; UNAVAILABLE if there is none.
template <typename Service>
BundleFetcher::Call FetchFrom(std::function<std::shared_ptr<grpc::Channel>()> channel) {
  return [channel = std::move(channel)](grpc::ClientContext* context,
                                        const v1::FetchBundleRequest& request,
                                        v1::FetchBundleResponse* response) {
    const std::shared_ptr<grpc::Channel> to = channel();
    if (to == nullptr) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "not connected");
    return Service::NewStub(to)->FetchBundle(context, request, response);
  };
}

// Makes FindBundle use this cache, which is created at first use and fetches what it lacks. If
// bundles in use fill the cache, a search waits for room, up to `wait_for_room`. Fetcher and
// metrics must outlive all searches.
void UseBundleCache(const BundleCache::Options& options, BundleFetcher* fetcher, Metrics* metrics,
                    std::chrono::seconds wait_for_room = {});

}  // namespace mentor::rpc
