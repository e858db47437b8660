// What a run writes while it is at work: metrics.csv, and TensorBoard's event file.
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "common/event_file.h"
#include "common/file.h"
#include "learner/agents/numerics.h"
#include "mentor/local/run_report.h"
#include "mentor/report/training_table.h"
#include "tests/loopback/local/tiny_runs.h"
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
  const LocalRunOptions options{
      .spec = Spec(), .out = run, .tensorboard = tensorboard, .quiet = true};
  REQUIRE(RunLocally(options).value() == 0);
  const auto data = ReportOf(run);
  REQUIRE(data.ok());
  REQUIRE(data->training.size() == 3);
  const auto names = report::MetricNames(data->training);
  const std::string table =
      report::TrainingHeader(names) + report::TrainingRows(data->training, names);
  CHECK(ReadFile(run / "metrics.csv", kBytesMax).value() == table);

  const std::filesystem::path events = OnlyFileIn(tensorboard / "run");
  const std::string whole = ReadFile(events, kBytesMax).value();
  const EventFileContents contents = ReadEventFile(whole);
  CHECK(contents.bytes == whole.size());
  REQUIRE(contents.events.size() == 4);
  CHECK(contents.events[0].file_version() == "brain.Event:2");
  for (size_t i = 0; i < data->training.size(); ++i) {
    const tensorboard::Event& event = contents.events[i + 1];
    CHECK(event.step() == static_cast<int64_t>(data->training[i].outer_update));
    CHECK(event.wall_time() > 1.6e9);
    std::map<std::string, double> values;
    for (const auto& value : event.summary().value()) values[value.tag()] = value.simple_value();
    CHECK(values.size() == data->training[i].metrics.size() + 1);
    CHECK(values.at("env_steps") == Approx(static_cast<double>(data->training[i].env_steps)));
    for (const auto& [name, value] : data->training[i].metrics)
      CHECK(values.at(name) == Approx(value));
  }

  // A kill in the middle of a line and of a frame, and one before the last update was written.
  std::ofstream(run / "metrics.csv", std::ios::app) << "4,12";
  std::filesystem::resize_file(events, whole.size() - 5);
  REQUIRE(RunLocally(options).value() == 0);
  CHECK(ReadFile(run / "metrics.csv", kBytesMax).value() == table);
  const EventFileContents again = ReadEventFile(ReadFile(events, kBytesMax).value());
  REQUIRE(again.events.size() == 4);
  for (size_t i = 0; i < again.events.size(); ++i)
    CHECK(again.events[i].step() == static_cast<int64_t>(i));
}

TEST_CASE("run files: a hash that is not of the newest checkpoint says so", "[loopback]") {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const std::filesystem::path run = folder.path() / "run";
  REQUIRE(RunLocally({.spec = Spec(), .out = run, .quiet = true}).value() == 0);
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
