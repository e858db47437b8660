// The fleet in the control API: lists shards, actors and learners, and drains one of them. The data
// come from the fleet's bookkeeping (fleet/) through the service's options. Thread-safe.
#pragma once

#include <absl/status/statusor.h>
#include <google/protobuf/empty.pb.h>

#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/service_options.h"

namespace mentor::meta_learner {

absl::StatusOr<v1::ListShardsResponse> ListShards(const ServiceOptions& options,
                                                  const v1::ListShardsRequest& request);
absl::StatusOr<v1::ListPeersResponse> ListPeers(const ServiceOptions& options,
                                                const v1::ListPeersRequest& request);
absl::StatusOr<google::protobuf::Empty> DrainPeer(const ServiceOptions& options,
                                                  const v1::DrainPeerRequest& request);

}  // namespace mentor::meta_learner
