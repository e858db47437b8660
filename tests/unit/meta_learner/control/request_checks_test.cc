#include "meta_learner/control/request_checks.h"

#include <set>
#include <string>
#include <vector>

#include <absl/strings/str_split.h>

#include "common/status.h"
#include "common/uuid.h"
#include "mentor/v1/experiment_service.pb.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

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

// Violations of 500 bytes each, with what is between them.
std::vector<std::string> Shown(int count) {
  Violations violations;
  for (int i = 0; i < count; ++i) violations.Add("f", std::string(491, 'x'));
  const absl::Status status = ShortStatus(violations);
  CHECK(ReasonOf(status) == "INVALID_FIELD");
  return absl::StrSplit(std::string(status.message()), '\n');
}

TEST_CASE("requests: an answer names violations up to 1500 bytes, and counts the others",
          "[unit]") {
  const std::string one = "f: " + std::string(491, 'x');
  CHECK(Shown(3) == std::vector<std::string>{one, one, one});
  CHECK(Shown(4) == std::vector<std::string>{
                        one, one, one, "experiment: has 1 more violations; mend these first"});
  CHECK(Shown(9).back() == "experiment: has 6 more violations; mend these first");
  // The first one is there in any case, as far as it fits.
  Violations longest;
  longest.Add("f", std::string(2000, 'x'));
  longest.Add("g", "y");
  CHECK(ShortStatus(longest).message() ==
        "f: " + std::string(1500, 'x') + "\nexperiment: has 1 more violations; mend these first");
  CHECK(ShortStatus({}).ok());
}

TEST_CASE("requests: ids may be left out, and are shown up to 100 bytes where they are wrong",
          "[unit]") {
  const auto wrong = [](void (*check)(const std::string&, Violations*), const std::string& id) {
    Violations violations;
    check(id, &violations);
    return std::string(violations.ToStatus().message());
  };
  CHECK(wrong(CheckRequestId, "").empty());
  CHECK(wrong(CheckRequestId, NewUuid()).empty());
  CHECK(wrong(CheckRequestId, std::string(101, 'x')) ==
        "request_id: is '" + std::string(100, 'x') + "'; give a UUID");
  CHECK(wrong(CheckExperimentId, "").empty());
  CHECK(wrong(CheckExperimentId, std::string(63, 'a')).empty());
  CHECK(wrong(CheckExperimentId, std::string(64, 'a')).starts_with("experiment_id: is 'aaa"));
}

}  // namespace mentor::meta_learner::TEST_FILE
