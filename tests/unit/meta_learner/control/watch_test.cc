// Watches of experiments and metrics by readers that are slow or read nothing.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <malloc.h>

#include "common/metrics.h"
#include "meta_learner/control/methods.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

using S = v1::Experiment;
using E = v1::WatchExperimentsResponse;

// Bytes that this process has asked for; 0 where a sanitizer has replaced the heap.
size_t HeapBytes() {
  const struct mallinfo2 heap = mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

struct Fixture {
  v1::Experiment Create(const std::string& id, size_t bytes = 0) {
    NewExperiment experiment = testing::SmallExperiment(id);
    experiment.experiment.mutable_spec()->set_display_name(std::string(bytes, 'x'));
    return store->records.Create(experiment).value();
  }
  void Cancel(const std::string& name) {
    REQUIRE(store->records.Transition(name, {S::STATE_QUEUED}, S::STATE_CANCELLED).ok());
  }
  PullStream<E>::Produce Watch(const v1::WatchExperimentsRequest& request = {}) {
    auto watch = WatchExperiments(&store->records, request, &lag);
    REQUIRE(watch.ok());
    return *std::move(watch);
  }

  testing::TempFolder folder;
  std::unique_ptr<Store> store = OpenStore(folder.path()).value();
  prometheus::Histogram lag{prometheus::Histogram::BucketBoundaries{1, 2}};
};

// What a watcher knows: states by name, and whether each message fitted to those before.
struct Watcher {
  // Reads until the watch has nothing to say; at most `most` messages.
  void Read(const PullStream<E>::Produce& watch, int most = 1000) {
    for (; most > 0; --most) {
      E event;
      const auto produced = watch(&event);
      REQUIRE(produced.ok());
      if (*produced != Produced::kMessage) return;
      Take(event);
    }
  }
  void Take(const E& event) {
    if (!event.resume_token().empty()) token = event.resume_token();
    if (event.event() == E::EVENT_BOOKMARK) {
      ++bookmarks;
      return;
    }
    // A token before the first bookmark would leave out what was not sent yet.
    CHECK((bookmarks > 0 || event.resume_token().empty()));
    const std::string& name = event.experiment().name();
    const auto known = states.find(name);
    INFO(name);
    if (event.event() == E::EVENT_DELETED) {
      CHECK(known != states.end());
      states.erase(name);
    } else {
      CHECK((event.event() == E::EVENT_CREATED) == (known == states.end()));
      CHECK((known == states.end() || known->second != S::STATE_CANCELLED));
      states[name] = event.experiment().state();
    }
  }

  std::map<std::string, State> states;
  std::string token;
  int bookmarks = 0;
};

std::map<std::string, State> StatesIn(Store* store) {
  std::map<std::string, State> states;
  const auto page = store->records.List({.page_size = 1000});
  REQUIRE(page.ok());
  for (const v1::Experiment& one : page->experiments) states[one.name()] = one.state();
  return states;
}

TEST_CASE("watch: changes while the present state is read are told once, none back in time",
          "[unit]") {
  Fixture fixture;
  std::vector<std::string> names;
  for (int i = 0; i < 60; ++i) names.push_back(fixture.Create(absl::StrFormat("e%02d", i)).name());
  const auto watch = fixture.Watch();
  Watcher watcher;
  watcher.Read(watch, 3);
  CHECK(watcher.states.size() == 3);
  // Before and behind the place of the reader: changed, gone, gone and made again, new.
  for (const int i : {1, 50}) fixture.Cancel(names[i]);
  for (const int i : {2, 4, 51, 52}) {
    fixture.Cancel(names[i]);
    REQUIRE(fixture.store->records.Delete(names[i], "").ok());
  }
  fixture.Create("e52");
  fixture.Create("a");
  fixture.Create("e59-new");
  watcher.Read(watch, 30);
  fixture.Cancel(names[3]);
  fixture.Cancel(names[53]);
  fixture.Create("z");
  CHECK(watcher.bookmarks == 0);
  watcher.Read(watch);
  CHECK(watcher.bookmarks == 1);
  CHECK(watcher.states == StatesIn(fixture.store.get()));
  CHECK(watcher.states.at("experiments/e50") == S::STATE_CANCELLED);
  CHECK_FALSE(watcher.states.contains("experiments/e51"));
  // From the bookmark on, a new watch goes on.
  v1::WatchExperimentsRequest request;
  request.set_resume_token(watcher.token);
  const auto resumed = fixture.Watch(request);
  fixture.Cancel("experiments/z");
  Watcher other = watcher;
  other.Read(resumed);
  watcher.Read(watch);
  CHECK(watcher.states == StatesIn(fixture.store.get()));
  CHECK(other.states == watcher.states);
}

TEST_CASE("watch: named experiments come in pieces, without those that go meanwhile", "[unit]") {
  Fixture fixture;
  v1::WatchExperimentsRequest request;
  for (int i = 0; i < 40; ++i)
    request.add_names(fixture.Create(absl::StrFormat("e%02d", i)).name());
  fixture.Create("other");
  const auto watch = fixture.Watch(request);
  Watcher watcher;
  watcher.Read(watch, 1);
  fixture.Cancel("experiments/e39");
  REQUIRE(fixture.store->records.Delete("experiments/e39", "").ok());
  fixture.Cancel("experiments/other");
  watcher.Read(watch);
  CHECK(watcher.bookmarks == 1);
  CHECK(watcher.states.size() == 39);
  CHECK_FALSE(watcher.states.contains("experiments/e39"));
}

TEST_CASE("watch: many that are not read hold a few rows each, not the store", "[unit]") {
  constexpr size_t kRows = 60, kRowBytes = 1 << 20, kWatches = 16;
  Fixture fixture;
  for (size_t i = 0; i < kRows; ++i) fixture.Create(absl::StrFormat("e%02d", i), kRowBytes);
  const std::string token = [&] {
    Watcher watcher;
    watcher.Read(fixture.Watch());
    return watcher.token;
  }();
  for (size_t i = 0; i < kRows; ++i) fixture.Cancel(absl::StrFormat("experiments/e%02d", i));
  v1::WatchExperimentsRequest resumes;
  resumes.set_resume_token(token);
  for (const auto& request : {v1::WatchExperimentsRequest(), resumes}) {
    std::vector<PullStream<E>::Produce> watches;
    const size_t before = HeapBytes();
    for (size_t i = 0; i < kWatches; ++i) {
      watches.push_back(fixture.Watch(request));
      E event;
      CHECK(*watches.back()(&event) == Produced::kMessage);
    }
    // The whole store, for each: 960 MiB.
    CHECK(HeapBytes() < before + kWatches * (kPieceBytesMax + (64 << 10)));
  }
}

TEST_CASE("watch: metrics come in parts, each update once, with all that it has", "[unit]") {
  Fixture fixture;
  const v1::Experiment one = testing::StartSmall(fixture.store.get(), "one");
  constexpr uint32_t kSteps = 350;
  for (uint32_t step = 1; step <= kSteps; ++step) {
    std::map<std::string, double> results = {{"success", step}};
    if (step % 7 == 0) results["shaped_return"] = -1.0 * step;
    if (step == kSteps) results["seg0"] = 1;
    REQUIRE(
        fixture.store->results.RecordOuterStep(one.uid(), {.step = step, .results = results}).ok());
  }
  REQUIRE(
      fixture.store->records.Transition(one.name(), {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  v1::WatchMetricsRequest request;
  request.set_name(one.name());
  request.set_after_step(20);
  const auto watch = *WatchMetrics(&fixture.store->records, &fixture.store->results, request);
  for (uint32_t step = 21; step <= kSteps; ++step) {
    v1::WatchMetricsResponse response;
    REQUIRE(*watch(&response) == Produced::kMessage);
    INFO(step);
    CHECK(response.step() == step);
    CHECK(response.values().at("success") == step);
    CHECK(response.values().contains("shaped_return") == (step % 7 == 0));
    CHECK(response.values().contains("seg0") == (step == kSteps));
  }
  v1::WatchMetricsResponse response;
  CHECK(*watch(&response) == Produced::kEnd);
}

}  // namespace mentor::meta_learner::TEST_FILE
