#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/status.h"
#include "common/violations.h"
#include "meta_learner/control/filter.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/store/paging.h"

namespace mentor::meta_learner {
namespace {

// Returns the items of the requested page. `query` identifies the list, for page tokens.
template <typename Request, typename Response, typename Item>
absl::StatusOr<Response> Page(const Request& request, const std::string& query,
                              std::vector<Item> all,
                              google::protobuf::RepeatedPtrField<Item>* (Response::*items)()) {
  Violations violations;
  PageRoom room(PageSizeOrAll(request.page_size(), &violations));
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  MENTOR_ASSIGN_OR_RETURN(const size_t begin, ReadPlace(request.page_token(), query));
  Response response;
  response.set_total_size(static_cast<int32_t>(all.size()));
  for (size_t i = begin; i < all.size(); ++i) {
    if (!room.Take(all[i].ByteSizeLong())) {
      response.set_next_page_token(MakePageToken(query, absl::StrCat(i)));
      break;
    }
    *(response.*items)()->Add() = std::move(all[i]);
  }
  return response;
}

}  // namespace

absl::StatusOr<v1::ListExperimentsResponse> ListExperiments(
    Records* records, const v1::ListExperimentsRequest& request) {
  MENTOR_ASSIGN_OR_RETURN(ExperimentFilter filter, ParseFilter(request.filter()));
  MENTOR_ASSIGN_OR_RETURN(ExperimentPage page,
                          records->List({.page_size = request.page_size(),
                                         .page_token = request.page_token(),
                                         .matches = std::move(filter),
                                         .order_by = request.order_by(),
                                         .key = request.order_by() + "\n" + request.filter()}));
  v1::ListExperimentsResponse response;
  for (v1::Experiment& experiment : page.experiments)
    *response.add_experiments() = std::move(experiment);
  response.set_next_page_token(page.next_page_token);
  response.set_total_size(static_cast<int32_t>(page.total_size));
  response.set_resume_token(MakeResumeToken(*records, page.revision));
  return response;
}

absl::StatusOr<v1::ListShardsResponse> ListShards(const ServiceOptions& options,
                                                  const v1::ListShardsRequest& request) {
  if (!request.parent().empty())
    MENTOR_RETURN_IF_ERROR(options.store->records.Get(request.parent()).status());
  return Page(request, "shards " + request.parent(), options.operations->Shards(request.parent()),
              &v1::ListShardsResponse::mutable_shards);
}

absl::StatusOr<v1::ListPeersResponse> ListPeers(const ServiceOptions& options,
                                                const v1::ListPeersRequest& request) {
  return Page(request, "peers", options.operations->Peers(), &v1::ListPeersResponse::mutable_peers);
}

absl::StatusOr<google::protobuf::Empty> DrainPeer(const ServiceOptions& options,
                                                  const v1::DrainPeerRequest& request) {
  MENTOR_RETURN_IF_ERROR(options.operations->Drain(request.name()));
  return google::protobuf::Empty();
}

}  // namespace mentor::meta_learner
