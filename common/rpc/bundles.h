// Bundles between processes: the method FetchBundle of several services, both ends. Servers answer
// with what FindBundle finds, on threads of their own; clients fetch what their cache lacks, piece
// by piece, with patience. Not for pushing (meta_learner/control/bundle_service.h). Thread-safe.
//
//   rpc::BundleFetcher fetcher(rpc::FetchFrom<v1::RolloutService>([&] { return channel; }));
//   rpc::UseBundleCache({.folder = "..."}, &fetcher, metrics);  // From here on FindBundle fetches.
//   ...
//   fetcher.Stop();                                      // Whoever waits for a bundle ends.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include <absl/status/statusor.h>
#include <google/protobuf/repeated_field.h>
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
#include "mentor/v1/bundle.pb.h"

namespace mentor::rpc {

inline constexpr size_t kBundlePieceBytes = 1 << 20;

void FilesToProto(const BundleManifest& manifest,
                  google::protobuf::RepeatedPtrField<v1::BundleFile>* files);
// Whatever a peer said: CheckManifest tells whether it is one.
BundleManifest ManifestFromProto(const std::string& digest,
                                 const google::protobuf::RepeatedPtrField<v1::BundleFile>& files);

// The answer to one request. OUT_OF_RANGE beyond the end.
absl::StatusOr<v1::FetchBundleResponse> ReadBundlePiece(const HeldBundle& bundle, uint64_t offset);

// Pieces of the bundles that a finder finds. What was asked for lately is held, so that a bundle is
// verified once and not for each piece; of too many, the one that is verified fastest goes.
class BundlePieces {
 public:
  explicit BundlePieces(BundleFinder find, size_t held_max = 64)
      : find_(std::move(find)), held_max_(held_max) {}

  // Once more with what is found anew, when the files of a held one are gone.
  absl::StatusOr<v1::FetchBundleResponse> Read(const std::string& digest, uint64_t offset);
  bool Holds(const std::string& digest);

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

// Answers FetchBundle for a service. Its owner stops it before the server shuts down.
class BundleServer {
 public:
  BundleServer();
  ~BundleServer();  // Stops.

  grpc::ServerUnaryReactor* Fetch(grpc::CallbackServerContext* context,
                                  const v1::FetchBundleRequest* request,
                                  v1::FetchBundleResponse* response);
  // Refuses calls as draining; waits for those at work. Idempotent.
  void Stop();

 private:
  class Work;
  const std::unique_ptr<Work> work_;
};

class BundleFetcher {
 public:
  using Call = std::function<grpc::Status(grpc::ClientContext*, const v1::FetchBundleRequest&,
                                          v1::FetchBundleResponse*)>;
  struct Patience {
    std::chrono::milliseconds call{60'000};    // For one answer.
    std::chrono::milliseconds total{180'000};  // Without any progress.
    Backoff backoff = {};
  };
  explicit BundleFetcher(Call call) : BundleFetcher(std::move(call), Patience()) {}
  BundleFetcher(Call call, const Patience& patience)
      : call_(std::move(call)), patience_(patience) {}

  // For a cache. What the source gives is what the peer says: WriteBundle verifies it. DATA_LOSS
  // when the peer's list is not that of the digest.
  absl::StatusOr<BundleCache::Fetched> Fetch(const std::string& digest);
  // Ends calls at once, these and later ones, with CANCELLED.
  void Stop();
  // False when it stops meanwhile.
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

// Calls a service on the channel of the moment; without one, UNAVAILABLE.
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

// FindBundle finds in this cache from now on, which is made when it is needed first, and fetches
// what it lacks; when others use all the room, it waits at most so long. The fetcher and the
// metrics live as long as anybody asks.
void UseBundleCache(const BundleCache::Options& options, BundleFetcher* fetcher, Metrics* metrics,
                    std::chrono::seconds wait_for_room = {});

}  // namespace mentor::rpc
