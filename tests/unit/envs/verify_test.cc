#include "envs/verify.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "common/file.h"
#include "common/hash.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::envs::TEST_FILE {

using Json = nlohmann::json;
using mentor::testing::Contains;
using mentor::testing::TempFolder;

// A folder with the recording of one task, to be spoilt.
struct Recorded {
  explicit Recorded(const std::string& task = "reach-v3") : name(task + ".bin") {
    bytes = *ReadFile(testing::SourcePath("tests/data/parity/" + name), 1 << 30);
    const Json all =
        Json::parse(*ReadFile(testing::SourcePath("tests/data/parity/manifest.json"), 1 << 30));
    manifest = all;
    manifest["tasks"] = Json::array();
    for (const Json& entry : all.at("tasks")) {
      if (entry.at("task") == task) manifest["tasks"].push_back(entry);
    }
  }
  Json& Task() { return manifest["tasks"][0]; }
  void Sign() {
    Task()["bytes"] = bytes.size();
    Task()["sha256"] = Sha256Hex(bytes);
  }
  absl::StatusOr<Verification> Run(const std::vector<std::string>& only = {}) const {
    std::ofstream(folder.path() / "manifest.json") << manifest;
    std::ofstream(folder.path() / name, std::ios::binary) << bytes;
    return Verify(folder.path().string(), only);
  }
  // The error of the one task.
  std::string Error() const {
    const auto verified = Run();
    INFO(verified.status().ToString());
    REQUIRE(verified.ok());
    CHECK_FALSE(verified->passed);
    REQUIRE(verified->tasks.size() == 1);
    CHECK_FALSE(verified->tasks[0].passed);
    CHECK(Contains(verified->text, "FAILED"));
    CHECK(Contains(verified->text, verified->tasks[0].error));
    return verified->tasks[0].error;
  }

  // Number `index` of a field, to be changed in place.
  double Get(int episode, const char* field, int index) const {
    double number;
    std::memcpy(&number, bytes.data() + Offset(episode, field, index), 8);
    return number;
  }
  void Set(int episode, const char* field, int index, double number) {
    std::memcpy(bytes.data() + Offset(episode, field, index), &number, 8);
    Sign();
  }
  size_t Offset(int episode, const char* field, int index) const {
    const Json& fields = manifest.at("tasks").at(0).at("episodes").at(episode).at("fields");
    return 8 * (fields.at(field).at("offset").get<size_t>() + index);
  }

  const std::string name;
  TempFolder folder;
  std::string bytes;
  Json manifest;
};

TEST_CASE("verify: an untouched recording passes, other tasks are skipped or refused", "[unit]") {
  Recorded recorded;
  auto verified = recorded.Run();
  REQUIRE(verified.ok());
  CHECK(verified->passed);
  CHECK(Contains(verified->text, "1 of 1 tasks agree"));
  CHECK(verified->tasks[0].steps == 480);  // Two episodes of 120 steps, twice.

  Json unknown = recorded.Task();
  unknown["task"] = "tidy-up-v9";
  recorded.manifest["tasks"].push_back(unknown);
  verified = recorded.Run();
  REQUIRE(verified.ok());
  CHECK(verified->passed);
  CHECK(verified->skipped == std::vector<std::string>{"tidy-up-v9"});
  CHECK(Contains(verified->text, "skipped, no such environment here: tidy-up-v9"));

  verified = recorded.Run({"tidy-up-v9"});
  REQUIRE(verified.ok());
  CHECK_FALSE(verified->passed);
  CHECK(Contains(verified->text, "nothing was verified"));

  const auto absent = recorded.Run({"reach-v3", "push-v3"});
  CHECK(absent.status().code() == absl::StatusCode::kNotFound);
  CHECK(Contains(std::string(absent.status().message()), "has no task push-v3"));
}

TEST_CASE("verify: a number that differs is found, whatever it belongs to", "[unit]") {
  struct Case {
    const char* field;
    int index;
    double change;
    double TaskVerification::*error;
  };
  for (const Case& c : {Case{"init_state", 20, 1e-9, &TaskVerification::state},
                        Case{"check", 3, 1e-9, &TaskVerification::state},
                        Case{"obs", 39 * 119 + 1, 1e-9, &TaskVerification::observation},
                        Case{"reward", 50, 1e-9, &TaskVerification::reward},
                        Case{"info", 7 * 60 + 4, 1e-9, &TaskVerification::info}}) {
    INFO(c.field);
    Recorded recorded;
    recorded.Set(1, c.field, c.index, recorded.Get(1, c.field, c.index) + c.change);
    const auto verified = recorded.Run();
    REQUIRE(verified.ok());
    CHECK_FALSE(verified->passed);
    CHECK(verified->tasks[0].error.empty());
    CHECK(verified->tasks[0].*c.error > 0.9e-9);
  }
  // A flag, and a success that the environment does not report.
  for (const auto& [field, index] : {std::pair{"truncated", 10}, std::pair{"info", 0}}) {
    Recorded recorded;
    recorded.Set(0, field, index, 1);
    const auto verified = recorded.Run();
    REQUIRE(verified.ok());
    CHECK(verified->tasks[0].flags == 2);  // In both replays.
    CHECK_FALSE(verified->passed);
  }
}

TEST_CASE("verify: recordings that begin at positions and velocities", "[unit]") {
  // Hopper's third episode ends with step 21 of its 21; its first one does not end there.
  Recorded hopper("Hopper-v5");
  auto verified = hopper.Run();
  REQUIRE(verified.ok());
  INFO(verified->text);
  CHECK(verified->passed);
  CHECK(verified->tasks[0].steps == 2 * (100 + 100 + 21));

  hopper.Set(2, "terminated", 20, 0);  // The original had gone on.
  verified = hopper.Run();
  REQUIRE(verified.ok());
  CHECK(verified->tasks[0].flags == 2);
  hopper.Set(2, "terminated", 20, 1);
  hopper.Set(2, "terminated", 19, 1);  // The original had ended a step earlier.
  verified = hopper.Run();
  REQUIRE(verified.ok());
  CHECK(verified->tasks[0].flags == 2);
  hopper.Set(2, "terminated", 19, 0);
  CHECK(hopper.Run()->passed);

  // Another start, and one of the wrong size.
  hopper.Set(0, "init_qpos", 2, hopper.Get(0, "init_qpos", 2) + 1e-9);
  verified = hopper.Run();
  REQUIRE(verified.ok());
  CHECK_FALSE(verified->passed);
  CHECK(verified->tasks[0].state >= 0.9e-9);
  CHECK(verified->tasks[0].error.empty());
  hopper.Task()["episodes"][0]["fields"]["init_qvel"]["shape"] = {5};
  CHECK(Contains(hopper.Error(), "6 positions and 5 velocities for Hopper-v5, expected 6 and 6"));

  // Steps beyond an end are refused.
  Recorded longer("Hopper-v5");
  Json& fields = longer.Task()["episodes"][2]["fields"];
  longer.Task()["episodes"][2]["steps"] = 22;
  for (auto& field : fields) {
    if (field["shape"][0] == 21) field["shape"][0] = 22;
  }
  CHECK(Contains(longer.Error(), "episode 2: step 22: Hopper-v5: Step after the episode's end"));

  // A task whose resets are its own takes no positions.
  Recorded reach;
  reach.Task()["episodes"][0]["fields"].erase("rand_vec");
  CHECK(Contains(reach.Error(), "task.parameters of reach-v3 has 0 numbers"));
}

TEST_CASE("verify: files that are cut, altered or inconsistent are named", "[unit]") {
  {
    Recorded recorded;
    recorded.bytes.resize(recorded.bytes.size() - 8);
    CHECK(Contains(recorded.Error(), "reach-v3.bin has 110360 bytes, the manifest says 110368"));
  }
  {
    Recorded recorded;
    recorded.bytes[5000] ^= 1;
    CHECK(Contains(recorded.Error(), "is corrupt"));
  }
  {
    Recorded recorded;  // Rightly signed, but too short for its fields.
    recorded.bytes.resize(recorded.bytes.size() / 16 * 8);
    recorded.Sign();
    CHECK(Contains(recorded.Error(), "reaches beyond the end of the file"));
  }
  {
    Recorded recorded;
    recorded.Task()["episodes"][0]["fields"]["obs"]["shape"] = {uint64_t{1} << 40,
                                                                uint64_t{1} << 40};
    CHECK(Contains(recorded.Error(), "field obs is longer than the file"));
  }
  {
    Recorded recorded;
    recorded.Task()["episodes"][0]["fields"].erase("reward");
    CHECK(Contains(recorded.Error(), "reward"));
  }
  {
    Recorded recorded;
    recorded.Task()["episodes"][0]["steps"] = 119;
    CHECK(Contains(recorded.Error(), "expected 119 x 4"));
  }
  {
    Recorded recorded;
    recorded.Task()["info_keys"] = {"success"};
    CHECK(Contains(recorded.Error(), "info_keys"));
  }
  {
    Recorded recorded;
    recorded.Task()["file"] = "../reach-v3.bin";
    CHECK(Contains(recorded.Error(), "leaves the folder"));
  }
  {
    Recorded recorded;
    recorded.Task()["file"] = "absent.bin";
    CHECK(Contains(recorded.Error(), "absent.bin"));
  }
  {
    Recorded recorded;
    recorded.Task()["episodes"] = Json::array();
    CHECK(Contains(recorded.Error(), "has no recorded steps"));
  }
}

TEST_CASE("verify: a manifest that does not read is an error", "[unit]") {
  TempFolder folder;
  CHECK(Contains(std::string(Verify(folder.path().string()).status().message()), "manifest.json"));
  for (const char* text : {"", "{", "[]", "{\"format\": 2}", "{\"format\": 1e308}",
                           "{\"format\": 1, \"check_every\": []}",
                           "{\"format\": 1, \"check_every\": 20, \"tasks\": 7}"}) {
    INFO(text);
    std::ofstream(folder.path() / "manifest.json") << text;
    const auto verified = Verify(folder.path().string());
    CHECK_FALSE((verified.ok() && verified->passed));
    CHECK_FALSE(Contains(std::string(verified.status().message()), "json.exception"));
  }
}

}  // namespace mentor::envs::TEST_FILE
