// Which streams get a place, and which messages a registry sends to which stream.
#include "meta_learner/control/streams.h"

#include <memory>
#include <string>
#include <vector>

#include "common/status.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

struct Stream : AnyStream {
  void Poke() override { ++poked; }
  void End(const absl::Status& status) override { ended = status; }
  int poked = 0;
  absl::Status ended;
};

TEST_CASE("streams: places have an end, for all and for a caller, until streams are removed",
          "[unit]") {
  StreamRegistry registry(/*streams_max=*/4, /*per_caller_max=*/2);
  std::vector<std::shared_ptr<Stream>> streams;
  const auto add = [&](const std::string& caller) {
    streams.push_back(std::make_shared<Stream>());
    return registry.Add(streams.back(), caller);
  };
  CHECK(add("a").ok());
  CHECK(add("a").ok());
  const absl::Status third = add("a");
  CHECK(ReasonOf(third) == "QUEUE_FULL");
  CHECK(third.message().find("'a' has 2 streams") != std::string_view::npos);
  CHECK(add("b").ok());
  CHECK(registry.size() == 4);  // The refused stream counts, too, until its end is sent.
  CHECK(ReasonOf(add("c")) == "QUEUE_FULL");
  registry.Remove(streams[4].get());
  // Two streams of "a" end, one of which was refused: one more may come.
  registry.Remove(streams[2].get());
  CHECK(ReasonOf(add("a")) == "QUEUE_FULL");
  registry.Remove(streams.back().get());
  registry.Remove(streams[0].get());
  registry.Remove(streams[0].get());  // Once more is nothing.
  CHECK(add("a").ok());
  CHECK(ReasonOf(add("a")) == "QUEUE_FULL");
}

TEST_CASE("streams: all are poked, and ended with one status, those that come later too",
          "[unit]") {
  StreamRegistry registry(10, 10);
  const auto first = std::make_shared<Stream>(), second = std::make_shared<Stream>(),
             gone = std::make_shared<Stream>(), late = std::make_shared<Stream>();
  REQUIRE(registry.Add(first, "a").ok());
  REQUIRE(registry.Add(second, "b").ok());
  REQUIRE(registry.Add(gone, "b").ok());
  registry.Remove(gone.get());
  registry.PokeAll();
  registry.PokeAll();
  CHECK(first->poked == 2);
  CHECK(second->poked == 2);
  CHECK(gone->poked == 0);
  registry.Stop(absl::UnavailableError("stopping"));
  CHECK(absl::IsUnavailable(first->ended));
  CHECK(absl::IsUnavailable(second->ended));
  CHECK(gone->ended.ok());
  CHECK(absl::IsUnavailable(registry.Add(late, "a")));
}

}  // namespace mentor::meta_learner::TEST_FILE
