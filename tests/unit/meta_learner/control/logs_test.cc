// The log of an experiment: kept in two files, read to its end, and followed.
#include "meta_learner/control/logs.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/file.h"
#include "common/log.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

using S = v1::Experiment;
using Messages = std::vector<std::string>;

struct Fixture {
  std::filesystem::path Newest() const { return folder() / "log.jsonl"; }
  std::filesystem::path Older() const { return folder() / "log.1.jsonl"; }
  std::filesystem::path folder() const { return store->files.ExperimentFolder(experiment.uid()); }
  static void Append(const std::filesystem::path& file, const Messages& messages) {
    std::ofstream stream(file, std::ios::app);
    for (const std::string& message : messages) stream << "{\"msg\":\"" << message << "\"}\n";
  }
  PullStream<v1::WatchLogsResponse>::Produce Watch(bool follow, uint32_t tail = 0) {
    v1::WatchLogsRequest request;
    request.set_name(experiment.name());
    request.set_follow(follow);
    request.set_tail(tail);
    auto watch = WatchLogs(&store->records, &store->files, request);
    REQUIRE(watch.ok());
    return *std::move(watch);
  }

  testing::TempFolder state;
  std::unique_ptr<Store> store = OpenStore(state.path()).value();
  v1::Experiment experiment = testing::StartSmall(store.get(), "one");
};

// The lines of the log now, and whether they are at its end.
struct Said {
  Messages messages;
  bool ended = false;
  bool operator==(const Said&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Said& said) {
  for (const std::string& message : said.messages) out << message << " ";
  return out << (said.ended ? "end" : "");
}
Said Ask(const PullStream<v1::WatchLogsResponse>::Produce& watch, size_t most = 100) {
  Said said;
  while (said.messages.size() < most) {
    v1::WatchLogsResponse response;
    const auto produced = watch(&response);
    REQUIRE(produced.ok());
    if (*produced != Produced::kMessage) {
      said.ended = *produced == Produced::kEnd;
      break;
    }
    said.messages.push_back(response.message());
  }
  return said;
}

TEST_CASE("logs: the older file comes first, and a tail is the last of both", "[unit]") {
  Fixture fixture;
  CHECK(Ask(fixture.Watch(false)) == Said{{}, true});
  Fixture::Append(fixture.Older(), {"a", "b"});
  Fixture::Append(fixture.Newest(), {"c", "d"});
  CHECK(Ask(fixture.Watch(false)) == Said{{"a", "b", "c", "d"}, true});
  CHECK(Ask(fixture.Watch(false, 1)) == Said{{"d"}, true});
  CHECK(Ask(fixture.Watch(false, 3)) == Said{{"b", "c", "d"}, true});
  CHECK(Ask(fixture.Watch(false, 4)) == Said{{"a", "b", "c", "d"}, true});
  CHECK(Ask(fixture.Watch(false, 9)) == Said{{"a", "b", "c", "d"}, true});
  v1::WatchLogsRequest none;
  none.set_name("experiments/none");
  CHECK(absl::IsNotFound(WatchLogs(&fixture.store->records, &fixture.store->files, none).status()));
}

TEST_CASE("logs: a long log is read in pieces, and its tail has the lines that were asked for",
          "[unit]") {
  Fixture fixture;
  Messages all;
  for (int i = 0; i < 3000; ++i) all.push_back(std::to_string(i) + std::string(100, '.'));
  Fixture::Append(fixture.Older(), {all.begin(), all.begin() + 1000});
  Fixture::Append(fixture.Newest(), {all.begin() + 1000, all.end()});
  CHECK(Ask(fixture.Watch(false), 5000) == Said{all, true});
  CHECK(Ask(fixture.Watch(true), 5000) == Said{all, false});
  for (const uint32_t tail : {1, 700, 2500, 9000}) {
    const size_t count = std::min<size_t>(tail, all.size());
    CHECK(Ask(fixture.Watch(false, tail), 5000) == Said{{all.end() - count, all.end()}, true});
  }
}

TEST_CASE("logs: what follows is told once, whole lines alone, until the experiment ends",
          "[unit]") {
  Fixture fixture;
  Fixture::Append(fixture.Newest(), {"a"});
  const auto watch = fixture.Watch(true), whole = fixture.Watch(true, 5);
  CHECK(Ask(watch) == Said{{"a"}, false});
  CHECK(Ask(watch) == Said{{}, false});
  Fixture::Append(fixture.Newest(), {"b", "c"});
  std::ofstream(fixture.Newest(), std::ios::app) << "{\"msg\":";
  CHECK(Ask(watch) == Said{{"b", "c"}, false});
  std::ofstream(fixture.Newest(), std::ios::app) << "\"d\"}\n";
  CHECK(Ask(watch) == Said{{"d"}, false});
  Fixture::Append(fixture.Newest(), {"e"});
  REQUIRE(fixture.store->records
              .Transition(fixture.experiment.name(), {S::STATE_RUNNING}, S::STATE_SUCCEEDED)
              .ok());
  CHECK(Ask(watch) == Said{{"e"}, true});
  CHECK(Ask(whole) == Said{{"a", "b", "c", "d", "e"}, true});
}

TEST_CASE("logs: a followed log goes on with the new file behind its rotation", "[unit]") {
  Fixture fixture;
  Fixture::Append(fixture.Newest(), {"a", "a longer line than those that come later"});
  const auto watch = fixture.Watch(true);
  CHECK(Ask(watch).messages.size() == 2);
  std::filesystem::rename(fixture.Newest(), fixture.Older());
  CHECK(Ask(watch) == Said{{}, false});  // There is no new one yet.
  Fixture::Append(fixture.Newest(), {"b"});
  CHECK(Ask(watch) == Said{{"b"}, false});
  Fixture::Append(fixture.Newest(), {"c"});
  CHECK(Ask(watch) == Said{{"c"}, false});
  // And once more.
  std::filesystem::rename(fixture.Newest(), fixture.Older());
  Fixture::Append(fixture.Newest(), {"d"});
  CHECK(Ask(watch) == Said{{"d"}, false});
  // A new reader gets the two files.
  CHECK(Ask(fixture.Watch(false)) == Said{{"b", "c", "d"}, true});
}

TEST_CASE("logs: of a followed log no line is lost or told twice between two looks", "[unit]") {
  Fixture fixture;
  const auto rotate = [&] { std::filesystem::rename(fixture.Newest(), fixture.Older()); };
  Fixture::Append(fixture.Older(), {"a"});
  Fixture::Append(fixture.Newest(), {"b"});
  const auto watch = fixture.Watch(true);
  CHECK(Ask(watch) == Said{{"a", "b"}, false});
  // Lines before a rotation, and a new file that is longer than the old one.
  Fixture::Append(fixture.Newest(), {"c"});
  rotate();
  Fixture::Append(fixture.Newest(), {"d", "a line that makes it longer than all that was before"});
  CHECK(Ask(watch) ==
        Said{{"c", "d", "a line that makes it longer than all that was before"}, false});
  // Two rotations: the file that was read has no name any more.
  Fixture::Append(fixture.Newest(), {"e"});
  rotate();
  Fixture::Append(fixture.Newest(), {"f"});
  rotate();
  Fixture::Append(fixture.Newest(), {"g"});
  CHECK(Ask(watch) == Said{{"e", "f", "g"}, false});
  // Two, and no new file yet.
  Fixture::Append(fixture.Newest(), {"h"});
  rotate();
  Fixture::Append(fixture.Newest(), {"i"});
  rotate();
  CHECK(Ask(watch) == Said{{"h", "i"}, false});
  Fixture::Append(fixture.Newest(), {"j"});
  CHECK(Ask(watch) == Said{{"j"}, false});
  CHECK(Ask(watch) == Said{{}, false});
}

TEST_CASE("logs: a full file moves aside, and takes the place of the one before", "[unit]") {
  constexpr size_t kFileBytesMax = 4 << 20;
  Fixture fixture;
  const auto log = [&](const std::string& message) {
    const ExperimentLogs logs(&fixture.store->records,
                              &fixture.store->files);  // Writes what it has before it goes.
    MENTOR_LOG(kInfo, message, {{"experiment", fixture.experiment.name()}});
    MENTOR_LOG(kInfo, "of nobody");
    MENTOR_LOG(kInfo, "of another", {{"experiment", "experiments/other"}});
  };
  const auto last = [&](const std::filesystem::path& file) -> std::optional<std::string> {
    const auto text = ReadFile(file, 2 * kFileBytesMax);
    if (!text.ok()) return std::nullopt;
    const size_t place = text->rfind("\"msg\":\"");
    return place == text->npos ? ""
                               : text->substr(place + 7, text->find('"', place + 7) - place - 7);
  };
  // A file of exactly that size is not full.
  std::ofstream(fixture.Newest()) << std::string(kFileBytesMax - 1, 'x') + "\n";
  log("one");
  CHECK(last(fixture.Newest()) == "one");
  CHECK_FALSE(last(fixture.Older()).has_value());
  log("two");
  CHECK(last(fixture.Newest()) == "two");
  CHECK(last(fixture.Older()) == "one");
  std::ofstream(fixture.Newest(), std::ios::app) << std::string(kFileBytesMax, 'x') + "\n";
  log("three");
  log("four");
  CHECK(last(fixture.Newest()) == "four");
  CHECK(last(fixture.Older()) == "two");
}

TEST_CASE("logs: a line is taken apart, and one that is no JSON is a message", "[unit]") {
  Fixture fixture;
  std::ofstream(fixture.Newest())
      << R"({"ts":"2026-01-31T12:00:00Z","severity":"warning","msg":"text","experiment":"e",)"
      << R"("logger":"l","file":"f","steps":7,"who":"ann"})"
      << "\nno JSON\n";
  const auto watch = fixture.Watch(false);
  v1::WatchLogsResponse line;
  REQUIRE(*watch(&line) == Produced::kMessage);
  CHECK(line.time().seconds() == 1'769'860'800);
  CHECK(line.severity() == "warning");
  CHECK(line.message() == "text");
  CHECK(line.fields_size() == 2);
  CHECK(line.fields().at("steps") == "7");
  CHECK(line.fields().at("who") == "ann");
  REQUIRE(*watch(&line) == Produced::kMessage);
  CHECK(line.message() == "no JSON");
  CHECK(line.fields().empty());
  CHECK(*watch(&line) == Produced::kEnd);
}

}  // namespace mentor::meta_learner::TEST_FILE
