#include "common/history.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/run_child.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::history::TEST_FILE {

using mentor::testing::RunChild;
using mentor::testing::TempFolder;

constexpr int kThreads = 4, kEvents = 200;

TEST_CASE("history child", "[.child]") {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([i] {
      for (int j = 0; j < kEvents; ++j)
        MENTOR_HISTORY("sent", {{"unit", "\"1\"\n"}, {"thread", i}, {"attempt", j}});
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_CASE("history: nothing is written when nobody asks", "[unit]") {
  CHECK_FALSE(On());
  bool computed = false;
  MENTOR_HISTORY("sent", {{"computed", computed = true}});
  CHECK_FALSE(computed);
}

TEST_CASE("history: whole lines of all threads, numbered, in a file of the process's own",
          "[unit]") {
  const TempFolder folder;
  REQUIRE(RunChild("history child", {{"MENTOR_HISTORY", folder.path()}}) == 0);
  REQUIRE(RunChild("history child", {{"MENTOR_HISTORY", folder.path()}}) == 0);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    ++files;
    std::ifstream file(entry.path());
    int64_t lines = 0, time = 0;
    for (std::string line; std::getline(file, line);) {
      const nlohmann::json event = nlohmann::json::parse(line);
      REQUIRE(event.at("n") == ++lines);
      REQUIRE(event.at("t") >= time);
      time = event.at("t");
      REQUIRE(event.at("event") == "sent");
      REQUIRE(event.at("unit") == "\"1\"\n");
      REQUIRE(entry.path().filename() == event.at("process").get<std::string>() + "-" +
                                             event.at("incarnation").get<std::string>() + ".jsonl");
    }
    CHECK(lines == kThreads * kEvents);
  }
  CHECK(files == 2);
}

TEST_CASE("history: a lifetime's name has all that it is known by", "[unit]") {
  const std::vector<double> task = {0.5, -1};
  const std::string name = LifetimeName(7, 3, 6, task);
  // sha256(struct.pack("<2d", 0.5, -1))[:4].hex() in Python.
  CHECK(name == "7:3:6:b908ca8c");
  CHECK(LifetimeName(7, 3, 6, task) == name);
  for (const std::string& other :
       {LifetimeName(8, 3, 6, task), LifetimeName(7, 2, 6, task), LifetimeName(7, 3, 7, task),
        LifetimeName(7, 3, 6, std::vector<double>{0.5, 1}), LifetimeName(7, 3, 6, {})})
    CHECK(other != name);
}

TEST_CASE("history: a line that cannot be written ends the process", "[unit]") {
  const TempFolder folder;
  const int status = RunChild("history child", {{"MENTOR_HISTORY", folder.path() / "missing"}});
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 3);
}

}  // namespace mentor::history::TEST_FILE
