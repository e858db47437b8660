// Files that a run writes while it runs: metrics.csv, and TensorBoard's event file.
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agents/numerics.h"
#include "common/evaluation_method.h"
#include "common/event_file.h"
#include "common/file.h"
#include "common/spec/spec_event.h"
#include "mentor/local/run_report.h"
#include "mentor/report/evaluation.h"
#include "mentor/report/training_table.h"
#include "tests/loopback/mentor/local/tiny_runs.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor {
namespace {

constexpr uint64_t kBytesMax = 1 << 24;

// Before anything else uses LibTorch.
const absl::Status fixed = learner::FixNumerics();

v1::ExperimentSpec Spec() {
  return testing::Checked(testing::TinySpec(R"(
    benchmark { name: "point_reach" }
    lifetime { iterations: 2 steps_per_iteration: 40 }
    rule { outer_updates: 3 lifetimes_per_update: 4 shard_lifetimes: 2
           option { name: "k" value: "20" } }
    evaluation { lifetimes_per_goal: 0 }
  )"));
}

std::filesystem::path OnlyFileIn(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path());
  REQUIRE(files.size() == 1);
  return files[0];
}

TEST_CASE("run files: every number of every update, once, whatever was torn before", "[loopback]") {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const std::filesystem::path run = folder.path() / "run", tensorboard = folder.path() / "tb";
  const LocalRunOptions options{.checked = testing::CheckedSpecOf(Spec()),
                                .out = run,
                                .tensorboard = tensorboard,
                                .quiet = true};
  REQUIRE(RunLocally(options).value() == 0);
  const auto data = ReportOf(run);
  REQUIRE(data.ok());
  REQUIRE(data->training.size() == 3);
  const auto names = report::MetricNames(data->training);
  const std::string table =
      report::TrainingHeader(names) + report::TrainingRows(data->training, names);
  CHECK(ReadFile(run / "metrics.csv", kBytesMax).value() == table);

  const std::filesystem::path events = OnlyFileIn(OnlyFileIn(tensorboard));
  const std::string whole = ReadFile(events, kBytesMax).value();
  const EventFileContents contents = ReadEventFile(whole);
  CHECK(contents.bytes == whole.size());
  REQUIRE(contents.events.size() == 5);
  CHECK(contents.events[0].file_version() == "brain.Event:2");
  CHECK(contents.events[1].summary().value(1).tag() == kSpecTag);
  for (size_t i = 0; i < data->training.size(); ++i) {
    const tensorboard::Event& event = contents.events[i + 2];
    CHECK(event.step() == static_cast<int64_t>(data->training[i].outer_update));
    CHECK(event.wall_time() > 1.6e9);
    std::map<std::string, double> values;
    for (const auto& value : event.summary().value()) values[value.tag()] = value.simple_value();
    CHECK(values.size() == data->training[i].metrics.size() + 1);
    CHECK(values.at(kEnvStepsTag) == Approx(static_cast<double>(data->training[i].env_steps)));
    for (const auto& [name, value] : data->training[i].metrics)
      CHECK(values.at(GroupedTag(name)) == Approx(value));
  }

  // A kill in the middle of a line and of a frame, and one before the last update was written.
  std::ofstream(run / "metrics.csv", std::ios::app) << "4,12";
  std::filesystem::resize_file(events, whole.size() - 5);
  REQUIRE(RunLocally(options).value() == 0);
  CHECK(ReadFile(run / "metrics.csv", kBytesMax).value() == table);
  const EventFileContents again = ReadEventFile(ReadFile(events, kBytesMax).value());
  REQUIRE(again.events.size() == 5);
  for (size_t i = 1; i < again.events.size(); ++i)
    CHECK(again.events[i].step() == static_cast<int64_t>(i) - 1);
}

TEST_CASE("run files: TensorBoard has the evaluation once, whatever was torn before",
          "[loopback]") {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const std::filesystem::path run = folder.path() / "run", tensorboard = folder.path() / "tb";
  v1::ExperimentSpec spec = Spec();
  spec.mutable_evaluation()->set_lifetimes_per_goal(1);
  spec.mutable_evaluation()->set_goals(2);
  const LocalRunOptions options{.checked = testing::CheckedSpecOf(spec),
                                .out = run,
                                .tensorboard = tensorboard,
                                .quiet = true};
  REQUIRE(RunLocally(options).value() == 0);
  const std::filesystem::path events = OnlyFileIn(OnlyFileIn(tensorboard));
  const auto values = [&events] {
    std::map<std::pair<std::string, int64_t>, double> values;
    for (const tensorboard::Event& event :
         ReadEventFile(ReadFile(events, kBytesMax).value()).events) {
      for (const auto& value : event.summary().value()) {
        INFO(value.tag() << " " << event.step());
        CHECK(values.emplace(std::pair(value.tag(), event.step()), value.simple_value()).second);
      }
    }
    return values;
  };
  const auto whole = values();
  const auto data = ReportOf(run);
  REQUIRE(data.ok());
  const auto results = report::SummariseEvaluation(data->evaluation, data->iterations);
  REQUIRE(results.ok());
  REQUIRE(results->size() >= 2);
  for (const report::MethodResult& result : *results) {
    const std::string prefix = "evaluation/" + result.split + "/" + TagOf(result.method) + "/";
    INFO(prefix);
    CHECK(whole.at({prefix + "seg1", 3}) == Approx(result.segments[1].mean));
    CHECK(whole.at({prefix + "last", 3}) == Approx(result.last.mean));
    CHECK(whole.at({prefix + "return", 3}) == Approx(result.last_return->mean));
    REQUIRE(result.lifetime_episodes > 0);
    const double last = whole.at({prefix + "success_by_episode", result.lifetime_episodes});
    CHECK((last >= 0 && last <= 1));
    CHECK(whole.contains({prefix + "return_by_episode", 1}));
  }

  // A kill while the curves were written, and one before the evaluation.
  const auto size = std::filesystem::file_size(events);
  for (const uint64_t less : {uint64_t{5}, uint64_t{300}, uint64_t{size / 2}}) {
    std::filesystem::resize_file(events, size - less);
    REQUIRE(RunLocally(options).value() == 0);
    CHECK(values() == whole);
  }
}

TEST_CASE("run files: runs of one name in two folders have a folder each for TensorBoard",
          "[loopback]") {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const std::filesystem::path boards = folder.path() / "tb";
  for (const char* parent : {"a", "b"}) {
    const LocalRunOptions options{.checked = testing::CheckedSpecOf(Spec()),
                                  .out = folder.path() / parent / "run",
                                  .tensorboard = boards,
                                  .quiet = true};
    // The second time it continues in its own folder.
    for (int time = 0; time < 2; ++time) REQUIRE(RunLocally(options).value() == 0);
  }
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(boards)) {
    CHECK(entry.path().filename().string().starts_with("run-"));
    OnlyFileIn(entry.path());
    ++found;
  }
  CHECK(found == 2);
}

TEST_CASE("run files: a hash that is not of the newest checkpoint says so", "[loopback]") {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const std::filesystem::path run = folder.path() / "run";
  REQUIRE(
      RunLocally({.checked = testing::CheckedSpecOf(Spec()), .out = run, .quiet = true}).value() ==
      0);
  const auto whole = HashRun(run);
  REQUIRE(whole.ok());
  CHECK(whole->damaged.empty());
  std::filesystem::resize_file(whole->checkpoint,
                               std::filesystem::file_size(whole->checkpoint) / 2);
  const auto older = HashRun(run);
  REQUIRE(older.ok());
  CHECK(older->outer_step < whole->outer_step);
  CHECK(older->state_hash != whole->state_hash);
  CHECK(older->damaged.find(whole->checkpoint.filename().string()) != std::string::npos);
}

}  // namespace
}  // namespace mentor
