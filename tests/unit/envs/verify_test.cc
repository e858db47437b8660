#include "envs/verify.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "common/file.h"
#include "common/hash.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::envs {
namespace {

using Json = nlohmann::json;
using mentor::testing::TempFolder;

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A folder with the recording of reach-v3, to be spoilt.
struct Recorded {
  Recorded() {
    bytes = *ReadFile(MENTOR_TEST_DATA "/parity/reach-v3.bin", 1 << 30);
    const Json all = Json::parse(*ReadFile(MENTOR_TEST_DATA "/parity/manifest.json", 1 << 30));
    manifest = all;
    manifest["tasks"] = Json::array();
    for (const Json& task : all.at("tasks")) {
      if (task.at("task") == "reach-v3") manifest["tasks"].push_back(task);
    }
  }
  Json& Task() { return manifest["tasks"][0]; }
  void Sign() {
    Task()["bytes"] = bytes.size();
    Task()["sha256"] = Sha256Hex(bytes);
  }
  absl::StatusOr<Verification> Run(const std::vector<std::string>& only = {}) const {
    std::ofstream(folder.path() / "manifest.json") << manifest;
    std::ofstream(folder.path() / "reach-v3.bin", std::ios::binary) << bytes;
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
    const size_t offset =
        recorded.Task()["episodes"][1]["fields"][c.field]["offset"].get<size_t>() + c.index;
    double number;
    std::memcpy(&number, recorded.bytes.data() + 8 * offset, 8);
    number += c.change;
    std::memcpy(recorded.bytes.data() + 8 * offset, &number, 8);
    recorded.Sign();
    const auto verified = recorded.Run();
    REQUIRE(verified.ok());
    CHECK_FALSE(verified->passed);
    CHECK(verified->tasks[0].error.empty());
    CHECK(verified->tasks[0].*c.error > 0.9e-9);
  }
  // A flag, and a success that the environment does not report.
  for (const auto& [field, index] : {std::pair{"truncated", 10}, std::pair{"info", 0}}) {
    Recorded recorded;
    const size_t offset =
        recorded.Task()["episodes"][0]["fields"][field]["offset"].get<size_t>() + index;
    const double one = 1;
    std::memcpy(recorded.bytes.data() + 8 * offset, &one, 8);
    recorded.Sign();
    const auto verified = recorded.Run();
    REQUIRE(verified.ok());
    CHECK(verified->tasks[0].flags == 2);  // In both replays.
    CHECK_FALSE(verified->passed);
  }
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
  for (const char* text :
       {"", "{", "[]", "{\"format\": 2}", "{\"format\": 1, \"check_every\": 20, \"tasks\": 7}"}) {
    INFO(text);
    std::ofstream(folder.path() / "manifest.json") << text;
    const auto verified = Verify(folder.path().string());
    CHECK_FALSE((verified.ok() && verified->passed));
  }
}

}  // namespace
}  // namespace mentor::envs
