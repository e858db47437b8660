// The leadership of a process without a server and without another host.
#include "meta_learner/leadership.h"

#include "common/status.h"
#include "tests/metric_value.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

TEST_CASE("leadership: with a folder of its own a process leads at once, and no second one does",
          "[unit]") {
  const testing::TempFolder folder;
  const auto metrics = Metrics::Create(), others = Metrics::Create();
  rpc::ServerOptions server{.address = "127.0.0.1:1"};
  Leadership leadership({.store = {.folder = folder.path()}}, metrics.get());
  const auto store = leadership.Open(/*process=*/nullptr, &server);
  REQUIRE(store.ok());
  CHECK(testing::MetricValue(*metrics, "mentor_meta_learner_leader") == 0);
  CHECK(leadership.Look(store->get()));
  CHECK(testing::MetricValue(*metrics, "mentor_meta_learner_leader") == 1);
  CHECK(server.address == "127.0.0.1:1");
  CHECK_FALSE(leadership.lost());

  Leadership second({.store = {.folder = folder.path()}}, others.get());
  CHECK(ReasonOf(second.Open(nullptr, &server).status()) == "IN_USE");
}

}  // namespace mentor::meta_learner::TEST_FILE
