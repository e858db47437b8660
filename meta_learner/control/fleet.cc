#include "meta_learner/control/fleet.h"

#include <utility>

#include "common/check.h"

namespace mentor::meta_learner {

absl::StatusOr<v1::ListShardsResponse> ListShards(const ServiceOptions& options,
                                                  const v1::ListShardsRequest& request) {
  if (!request.parent().empty())
    MENTOR_RETURN_IF_ERROR(options.store->Get(request.parent()).status());
  v1::ListShardsResponse response;
  if (!options.shards) return response;
  for (v1::ShardInfo& shard : options.shards(request.parent()))
    *response.add_shards() = std::move(shard);
  return response;
}

absl::StatusOr<v1::ListPeersResponse> ListPeers(const ServiceOptions& options,
                                                const v1::ListPeersRequest& /*request*/) {
  v1::ListPeersResponse response;
  if (!options.peers) return response;
  for (v1::Peer& peer : options.peers()) *response.add_peers() = std::move(peer);
  return response;
}

absl::StatusOr<google::protobuf::Empty> DrainPeer(const ServiceOptions& options,
                                                  const v1::DrainPeerRequest& request) {
  if (!options.drain) return absl::UnimplementedError("there is no fleet here");
  MENTOR_RETURN_IF_ERROR(options.drain(request.name()));
  return google::protobuf::Empty();
}

}  // namespace mentor::meta_learner
