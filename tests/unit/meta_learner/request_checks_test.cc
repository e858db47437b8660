#include "meta_learner/control/request_checks.h"

#include "common/uuid.h"
#include "mentor/v1/experiment_service.pb.h"
#include "tests/testing.h"

namespace mentor::meta_learner {
namespace {

TEST_CASE("requests: the hash is that of caller and body, and not of the id", "[unit]") {
  v1::CreateExperimentRequest request;
  request.set_experiment_id("one");
  request.set_request_id(NewUuid());
  const std::string hash = HashOfRequest(request, "ann");
  CHECK(HashOfRequest(request, "bob") != hash);
  v1::CreateExperimentRequest other = request;
  other.set_request_id(NewUuid());
  CHECK(HashOfRequest(other, "ann") == hash);
  other.set_experiment_id("two");
  CHECK(HashOfRequest(other, "ann") != hash);
}

}  // namespace
}  // namespace mentor::meta_learner
