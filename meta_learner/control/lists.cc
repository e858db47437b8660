#include "meta_learner/control/lists.h"

#include <cstdint>
#include <utility>

#include "common/check.h"
#include "meta_learner/control/filter.h"
#include "meta_learner/control/watch.h"

namespace mentor::meta_learner {

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

}  // namespace mentor::meta_learner
