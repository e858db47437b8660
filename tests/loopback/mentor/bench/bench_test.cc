// `mentor bench`, as a user starts it, with peers of the test.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>
#include <sys/wait.h>

#include "tests/paths.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor {
namespace {

using testing::Contains;
using testing::ReadText;

struct Outcome {
  int code = -1;
  std::string out, err;
};

// Output of the smallest measurement.
Outcome Bench(const std::string& arguments) {
  const testing::TempFolder folder;
  const std::string out = folder.path() / "out", err = folder.path() / "err";
  const int status = std::system((testing::BuildPath("bin/mentor") + " bench " + arguments + " > " +
                                  out + " 2> " + err + " < /dev/null")
                                     .c_str());
  return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
          .out = ReadText(out),
          .err = ReadText(err)};
}

constexpr char kSmall[] = "all --only env --environments InvertedPendulum-v5 --rounds 1 --json";
// A peer's report of a figure that ours has, too.
constexpr char kSays[] =
    R"(echo '\''{"figures": {"total_us/InvertedPendulum-v5": {"value": 1e9, "unit": "us"}},)"
    R"( "versions": {"fake": "7"}}'\'')";

TEST_CASE("bench: all measurements in rounds, with a peer beside them", "[loopback]") {
  const Outcome outcome = Bench(std::string(kSmall) + " --peer 'env/fake=" + kSays + "'");
  INFO(outcome.out << outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(Contains(outcome.err, "round 1 of 1: env\n"));
  CHECK(Contains(outcome.err, "round 1 of 1: env/fake, about "));
  const auto json = nlohmann::json::parse(outcome.out);
  CHECK(!json.at("time").get<std::string>().empty());
  CHECK(!json.at("cpu").get<std::string>().empty());
  CHECK(json.at("cores").get<int>() >= 1);
  CHECK(json.at("isa").get<std::string>().starts_with("avx"));
  CHECK(json.at("device") == "cpu");
  for (const char* name : {"mentor", "mujoco", "libtorch", "compiler"})
    CHECK(!json.at("versions").at(name).get<std::string>().empty());
  CHECK(json.at("versions").at("env/fake").at("fake") == "7");
  REQUIRE(json.at("rounds").size() == 1);
  for (const char* fact : {"seconds", "load_before", "load_after", "clock_mhz"})
    CHECK(json.at("rounds")[0].at(fact).get<double>() >= 0);
  CHECK(json.at("left_out").empty());
  const auto& figures = json.at("figures");
  const auto& ours = figures.at("env/total_us/InvertedPendulum-v5");
  CHECK(ours.at("unit") == "us");
  CHECK(ours.at("median").get<double>() > 0);
  CHECK(ours.at("values").size() == 1);
  CHECK(figures.at("env/total_us/InvertedPendulum-v5 fake").at("median") == 1e9);
  const auto& ahead = figures.at("env/total_us/InvertedPendulum-v5 ahead of fake");
  CHECK(ahead.at("median").get<double>() == Approx(1e9 / ours.at("median").get<double>()));
  CHECK(Contains(figures.at("env/Gymnasium v5 (1): step").at("goal").get<std::string>(), "0.95"));
  // Another environment was not asked for.
  CHECK(!figures.contains("env/total_us/Ant-v5"));
}

TEST_CASE("bench: a peer that fails, hangs or says nonsense is named, the rest is kept",
          "[loopback]") {
  const Outcome outcome = Bench(std::string(kSmall) +
                                " --peer_deadline 3"
                                " --peer 'env/fails=/bin/false'"
                                " --peer 'env/hangs=sleep 600'"
                                " --peer 'env/talks=echo tomorrow perhaps'"
                                " --peer 'env/works=" +
                                kSays + "'");
  INFO(outcome.out << outcome.err);
  CHECK(outcome.code == 1);
  const auto json = nlohmann::json::parse(outcome.out);
  const auto why = [&](const char* peer) {
    return json.at("left_out").at(peer).get<std::string>();
  };
  CHECK(json.at("left_out").size() == 3);
  CHECK(Contains(why("env/fails"), "exit status 1"));
  CHECK(Contains(why("env/hangs"), "--peer_deadline"));
  CHECK(Contains(why("env/talks"), "tomorrow perhaps"));
  CHECK(Contains(outcome.err, "env/hangs is left out"));
  CHECK(json.at("figures").contains("env/total_us/InvertedPendulum-v5"));
  CHECK(json.at("figures").contains("env/total_us/InvertedPendulum-v5 ahead of works"));
}

TEST_CASE("bench: peers of a folder; one that cannot measure here is no failure", "[loopback]") {
  const testing::TempFolder folder;
  std::filesystem::create_directories(folder.path() / "it's here" / "env");
  const auto file = folder.path() / "it's here" / "env" / "other_peer.sh";
  std::ofstream(file)
      << "#!/bin/sh\necho \"{\\\"none\\\": \\\"no $MENTOR_BENCH_DEVICE of mine\\\"}\"\n";
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  std::ofstream(file.parent_path() / "notes.txt") << "no peer";
  const std::string folder_flag = " --peers \"" + (folder.path() / "it's here").string() + "\"";
  // A measurement's own command takes them as well.
  const Outcome outcome = Bench("env --environments InvertedPendulum-v5 --rounds 1" + folder_flag);
  INFO(outcome.out << outcome.err);
  CHECK(outcome.code == 0);
  CHECK(Contains(outcome.out, "left out: env/other: no cpu of mine"));
  CHECK(Contains(outcome.out, "env/total_us/InvertedPendulum-v5"));
}

TEST_CASE("bench: what a measurement is not for is left out; what it cannot do is an error",
          "[loopback]") {
  const Outcome without = Bench("signal --device emulated --rounds 1 --json");
  INFO(without.out << without.err);
  CHECK(without.code == 0);
  CHECK(Contains(nlohmann::json::parse(without.out).at("left_out").at("signal").get<std::string>(),
                 "too slow"));
  const Outcome unknown = Bench("env --environments Teacher-v5 --rounds 1");
  INFO(unknown.out << unknown.err);
  CHECK(unknown.code == 1);
  CHECK(Contains(unknown.out, "no environment Teacher-v5"));
}

TEST_CASE("bench: wrong flags are refused before anything runs", "[loopback]") {
  const auto refused = [](const std::string& arguments, const std::string& what) {
    const Outcome outcome = Bench(arguments);
    INFO(arguments << ": " << outcome.err);
    CHECK(outcome.code == 2);
    CHECK(Contains(outcome.err, what));
    CHECK(!Contains(outcome.err, "round 1"));
  };
  refused("all --only envv", "--only: unknown measurement 'envv'; did you mean 'env'");
  refused("all --peer jax=python3", "MEASUREMENT/NAME=COMMAND");
  refused("all --peer none/jax=python3", "--peer: unknown measurement 'none'");
  refused("all --only env --peer ppo/jax=python3", "ppo is not measured here");
  refused("all --peers " + testing::SourcePath("tests/data"),
          "no executable file MEASUREMENT/NAME_peer");
  refused("all --device tpu", "--device tpu");
}

}  // namespace
}  // namespace mentor
