// Lists of the control API, page by page; each page has the total.
#include <memory>
#include <string>
#include <vector>

#include "common/status.h"
#include "meta_learner/control/methods.h"
#include "tests/fake_control.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

using S = v1::Experiment;
using Strings = std::vector<std::string>;

struct Fixture : testing::FakeOperations {
  std::vector<v1::ShardInfo> Shards(const std::string& experiment) override {
    asked = experiment;
    return Numbered<v1::ShardInfo>(5);
  }
  std::vector<v1::Peer> Peers() override { return Numbered<v1::Peer>(3); }
  template <typename Item>
  static std::vector<Item> Numbered(size_t count) {
    std::vector<Item> items(count);
    for (size_t i = 0; i < count; ++i) items[i].set_name(std::to_string(i));
    return items;
  }

  std::string asked = "nobody";
  testing::TempFolder folder;
  std::unique_ptr<Store> store = OpenStore(folder.path()).value();
};

// Names of all pages with this page size, each with `total`; "|" between pages.
template <typename Request, typename List, typename Items>
Strings Pages(Request request, int total, const List& list, const Items& items) {
  Strings names;
  while (true) {
    const auto page = list(request);
    INFO(page.status().ToString());
    REQUIRE(page.ok());
    CHECK(page->total_size() == total);
    for (const auto& item : items(*page)) names.push_back(item.name());
    if (page->next_page_token().empty()) return names;
    REQUIRE(names.size() < 100);
    names.push_back("|");
    request.set_page_token(page->next_page_token());
  }
}

TEST_CASE("lists: all pages of a filtered list say how many match", "[unit]") {
  Fixture fixture;
  for (const char* id : {"a", "b", "c", "d", "e", "f", "g"})
    testing::CreateSmall(fixture.store.get(), id);
  // Some experiments before, between and behind that do not match.
  for (const char* id : {"a", "d", "g"}) {
    REQUIRE(fixture.store->records
                .Transition(std::string("experiments/") + id, {S::STATE_QUEUED}, S::STATE_CANCELLED)
                .ok());
  }
  const auto pages = [&](const std::string& filter, const std::string& order_by, int size,
                         int total) {
    v1::ListExperimentsRequest request;
    request.set_filter(filter);
    request.set_order_by(order_by);
    request.set_page_size(size);
    Strings ids = Pages(
        request, total,
        [&](const auto& asked) { return ListExperiments(&fixture.store->records, asked); },
        [](const auto& page) { return page.experiments(); });
    std::string text;
    for (const std::string& id : ids) text += id.back();
    return text;
  };
  CHECK(pages("state=QUEUED", "", 1, 4) == "b|c|e|f");
  CHECK(pages("state=QUEUED", "", 2, 4) == "bc|ef");
  CHECK(pages("state=QUEUED", "", 3, 4) == "bce|f");
  CHECK(pages("state=QUEUED", "name desc", 3, 4) == "fec|b");
  CHECK(pages("state=QUEUED", "create_time", 3, 4) == "bce|f");
  CHECK(pages("", "", 3, 7) == "abc|def|g");
  CHECK(pages("", "create_time desc", 3, 7) == "gfe|dcb|a");
  CHECK(pages("state=RUNNING", "", 3, 0).empty());
}

TEST_CASE("lists: a watch goes on where a list was made", "[unit]") {
  Fixture fixture;
  testing::CreateSmall(fixture.store.get(), "a");
  const auto before = ListExperiments(&fixture.store->records, {});
  const auto again = ListExperiments(&fixture.store->records, {});
  CHECK_FALSE(before->resume_token().empty());
  CHECK(before->resume_token() == again->resume_token());
  testing::CreateSmall(fixture.store.get(), "b");
  CHECK(ListExperiments(&fixture.store->records, {})->resume_token() != before->resume_token());
}

TEST_CASE("lists: shards and peers come by pages, those of each parent by themselves", "[unit]") {
  Fixture fixture;
  const std::string name = testing::CreateSmall(fixture.store.get(), "one").name();
  const ServiceOptions options{.store = fixture.store.get(), .operations = &fixture};
  const std::string& asked = fixture.asked;
  v1::ListShardsRequest request;
  request.set_page_size(2);
  const auto shards = [&](const v1::ListShardsRequest& of) { return ListShards(options, of); };
  const auto items = [](const v1::ListShardsResponse& page) { return page.shards(); };
  CHECK(Pages(request, 5, shards, items) == Strings{"0", "1", "|", "2", "3", "|", "4"});
  CHECK(asked.empty());
  const std::string token = shards(request)->next_page_token();
  request.set_parent(name);
  CHECK(Pages(request, 5, shards, items).size() == 7);
  CHECK(asked == name);
  request.set_page_token(token);
  CHECK(ReasonOf(shards(request).status()) == "PAGE_TOKEN_MISMATCH");
  request.set_parent("experiments/none");
  CHECK(absl::IsNotFound(shards(request).status()));
  v1::ListPeersRequest peers;
  peers.set_page_size(2);
  CHECK(Pages(
            peers, 3, [&](const v1::ListPeersRequest& of) { return ListPeers(options, of); },
            [](const v1::ListPeersResponse& page) { return page.peers(); }) ==
        Strings{"0", "1", "|", "2"});
  peers.set_page_token(token);
  CHECK(ReasonOf(ListPeers(options, peers).status()) == "PAGE_TOKEN_MISMATCH");
  // 0: all that fit.
  CHECK(ListPeers(options, {})->peers_size() == 3);
}

TEST_CASE("lists: tasks come by pages, those of training first", "[unit]") {
  v1::ListTasksRequest request;
  request.mutable_benchmark()->set_name("point_reach");
  const auto whole = ListTasks(request);
  REQUIRE(whole.ok());
  REQUIRE(whole->tasks_size() > 1);
  CHECK(whole->total_size() >= whole->tasks_size());
  request.set_page_size(1);
  v1::ListTasksRequest page_request = request;
  bool test = false;
  for (int i = 0; i < whole->tasks_size(); ++i) {
    const auto page = ListTasks(page_request);
    REQUIRE(page.ok());
    REQUIRE(page->tasks_size() == 1);
    CHECK(page->total_size() == whole->total_size());
    CHECK(page->tasks(0).SerializeAsString() == whole->tasks(i).SerializeAsString());
    CHECK(page->tasks(0).name() == "benchmarks/point_reach/tasks/" + std::to_string(i));
    CHECK((page->tasks(0).split() == "test" || !test));
    test = page->tasks(0).split() == "test";
    CHECK(page->next_page_token().empty() == (i + 1 == whole->total_size()));
    page_request.set_page_token(page->next_page_token());
  }
  request.set_page_token("x");
  CHECK(ReasonOf(ListTasks(request).status()) == "INVALID_FIELD");
}

TEST_CASE("lists: checkpoints come by pages in order, and are pinned under their etag", "[unit]") {
  Fixture fixture;
  const v1::Experiment experiment = testing::StartSmall(fixture.store.get(), "one");
  for (const uint32_t step : {2U, 10U, 9U}) {
    REQUIRE(fixture.store->results
                .RecordOuterStep(experiment.uid(),
                                 {.step = step,
                                  .checkpoint = CheckpointInfo{.path = "",
                                                               .outer_step = step,
                                                               .size_bytes = 100 + step,
                                                               .sha256 = std::string(64, 'a'),
                                                               .state_hash = "h"}})
                .ok());
  }
  v1::ListCheckpointsRequest request;
  request.set_parent(experiment.name());
  request.set_page_size(2);
  const auto first = ListCheckpoints(&fixture.store->records, &fixture.store->results, request);
  REQUIRE(first->checkpoints_size() == 2);
  CHECK(first->checkpoints(0).outer_step() == 2);
  CHECK(first->checkpoints(1).outer_step() == 9);
  CHECK(first->checkpoints(1).size_bytes() == 109);
  request.set_page_token(first->next_page_token());
  const auto second = ListCheckpoints(&fixture.store->records, &fixture.store->results, request);
  REQUIRE(second->checkpoints_size() == 1);
  CHECK(second->checkpoints(0).outer_step() == 10);
  CHECK(second->next_page_token().empty());

  const rpc::Caller owner{.name = "local", .role = v1::ROLE_OPERATOR},
      stranger{.name = "eve", .role = v1::ROLE_OPERATOR},
      admin{.name = "a", .role = v1::ROLE_ADMIN};
  v1::UpdateCheckpointRequest pin;
  pin.mutable_checkpoint()->set_name(first->checkpoints(1).name());
  pin.mutable_checkpoint()->set_etag(first->checkpoints(1).etag());
  pin.mutable_checkpoint()->set_pinned(true);
  const auto update = [&](const rpc::Caller& caller) {
    return UpdateCheckpoint(&fixture.store->records, &fixture.store->results, pin, caller);
  };
  CHECK(ReasonOf(update(owner).status()) == "INVALID_FIELD");  // No mask.
  pin.mutable_update_mask()->add_paths("pinned");
  CHECK(ReasonOf(update(stranger).status()) == "NOT_OWNER");
  const auto pinned = update(owner);
  REQUIRE(pinned.ok());
  CHECK(pinned->pinned());
  CHECK(pinned->outer_step() == 9);
  CHECK(pinned->etag() != first->checkpoints(1).etag());
  CHECK(ReasonOf(update(owner).status()) == "ETAG_MISMATCH");
  pin.mutable_checkpoint()->clear_etag();
  pin.mutable_checkpoint()->set_pinned(false);
  CHECK_FALSE(update(admin)->pinned());
  pin.mutable_update_mask()->add_paths("size_bytes");
  CHECK(ReasonOf(update(owner).status()) == "INVALID_FIELD");
}

}  // namespace mentor::meta_learner::TEST_FILE
