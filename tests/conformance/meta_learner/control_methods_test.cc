// Every method of the control service states which servers may answer it.
#include <google/protobuf/descriptor.h>

#include "mentor/v1/access.pb.h"
#include "mentor/v1/experiment_service.pb.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

TEST_CASE("control: every method says whether a standby answers it; changes are the leader's",
          "[conformance]") {
  const auto* service = v1::CreateExperimentRequest::descriptor()->file()->service(0);
  REQUIRE(service->full_name() == "mentor.v1.ExperimentService");
  int answered = 0;
  for (int m = 0; m < service->method_count(); ++m) {
    const google::protobuf::MethodOptions& options = service->method(m)->options();
    INFO(service->method(m)->name());
    CHECK(options.HasExtension(v1::standby_answers));
    if (!options.GetExtension(v1::standby_answers)) continue;
    ++answered;
    CHECK(options.GetExtension(v1::required_role) == v1::ROLE_VIEWER);
  }
  CHECK(answered > 0);
}

}  // namespace mentor::meta_learner::TEST_FILE
