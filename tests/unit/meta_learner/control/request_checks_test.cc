#include "meta_learner/control/request_checks.h"

#include <set>
#include <string>

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

TEST_CASE("requests: the hash does not depend on the order of labels in memory", "[unit]") {
  constexpr int kLabels = 12, kMessages = 20;
  std::set<std::string> hashes;
  for (int message = 0; message < kMessages; ++message) {
    v1::CreateExperimentRequest request;  // Each map has an order of its own.
    auto& labels = *request.mutable_experiment()->mutable_labels();
    for (int i = 0; i < kLabels; ++i) {
      const int label = (i + message) % kLabels;
      labels["label-" + std::to_string(label)] = std::to_string(label * label);
    }
    hashes.insert(HashOfRequest(request, "ann"));
  }
  CHECK(hashes.size() == 1);
}

}  // namespace
}  // namespace mentor::meta_learner
