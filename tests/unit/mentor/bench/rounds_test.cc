#include "tests/bench/rounds.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <absl/strings/str_cat.h>

#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::bench {
namespace {

using testing::Contains;

absl::StatusOr<RoundReport> Shell(const std::string& script, double deadline_s = 20) {
  return RunCommand({"/bin/sh", "-c", script}, std::chrono::duration<double>(deadline_s));
}

void Nothing(const std::string&) {}

// A program that says these numbers, one a round, of one figure.
Program Says(const std::string& peer, std::vector<double> values, const std::string& unit = "ms",
             std::vector<std::string>* order = nullptr) {
  auto next = std::make_shared<size_t>(0);
  return {.measurement = "ppo", .peer = peer, .run = [=]() -> absl::StatusOr<RoundReport> {
            if (order != nullptr) order->push_back(peer.empty() ? "ours" : peer);
            return RoundReport{.figures = {{"step", {values.at((*next)++), unit}}}};
          }};
}

TEST_CASE("rounds: what a program prints is read back, whatever else it says", "[unit]") {
  const RoundReport round{.figures = {{"step", {1.5, "ms", "goal 1"}}, {"share", {0.25, "ratio"}}},
                          .versions = {{"jax", "1.2"}}};
  const std::string line = ToJson(round);
  CHECK(!Contains(line, "\n"));
  for (const std::string& printed :
       {line, "a warning\n[1, 2]\n" + line + "\n", line + "\nfreeing 3 things\n\n"}) {
    const auto read = ParseRound(printed);
    INFO(read.status().ToString());
    REQUIRE(read.ok());
    REQUIRE(read->figures.size() == 2);
    CHECK(read->figures.at("step").value == 1.5);
    CHECK(read->figures.at("step").unit == "ms");
    CHECK(read->figures.at("step").goal == "goal 1");
    CHECK(read->figures.at("share").goal.empty());
    CHECK(read->versions.at("jax") == "1.2");
  }
}

TEST_CASE("rounds: what is no round is refused, with the field and the end of the text", "[unit]") {
  const auto refused = [](const std::string& printed, const std::string& what) {
    const absl::Status status = ParseRound(printed).status();
    INFO(printed << ": " << status.ToString());
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Contains(status, what));
  };
  refused("", "it printed nothing");
  refused("Traceback\nImportError: no module x", "Traceback | ImportError: no module x");
  refused(R"({"steps": 3})", "figures");
  refused(R"({"figures": {}})", "figures");
  refused(R"({"figures": {"step": 3}})", "figures.step");
  refused(R"({"figures": {"step": {"value": "3", "unit": "ms"}}})", "figures.step");
  refused(R"({"figures": {"step": {"value": 1e999, "unit": "ms"}}})", "it printed");
  refused(R"({"figures": {"step": {"value": 3}}})", "figures.step");
  // A long text is cut at its beginning.
  const absl::Status status = ParseRound(std::string(100'000, 'x') + "the end").status();
  CHECK(status.message().size() < 1000);
  CHECK(Contains(status, "xthe end"));

  const absl::Status none = ParseRound(R"({"none": "no jax here"})").status();
  CHECK(none.code() == absl::StatusCode::kUnimplemented);
  CHECK(none.message() == "no jax here");
  CHECK(ToJson(none) == R"({"none":"no jax here"})");
}

TEST_CASE("rounds: a command is run to its end", "[unit]") {
  const auto round =
      Shell(R"(echo hello >&2; echo '{"figures": {"a": {"value": 2, "unit": "s"}}}')");
  INFO(round.status().ToString());
  REQUIRE(round.ok());
  CHECK(round->figures.at("a").value == 2);

  const absl::Status failed = Shell("echo a reason; exit 3").status();
  CHECK(failed.code() == absl::StatusCode::kAborted);
  CHECK(Contains(failed, "exit status 3"));
  CHECK(Contains(failed, "a reason"));
  CHECK(RunCommand({"no-such-program"}, {}).status().code() == absl::StatusCode::kNotFound);
  CHECK(Contains(Shell("yes").status(), "printed more than"));
}

TEST_CASE("rounds: a command that hangs ends with its children at the deadline", "[unit]") {
  const testing::TempFolder folder;
  const std::string file = folder.path() / "child";
  const auto start = std::chrono::steady_clock::now();
  // The child holds the pipe.
  const absl::Status status =
      Shell("sleep 600 & echo $! > " + file + "; echo waiting; wait", 2).status();
  CHECK(status.code() == absl::StatusCode::kDeadlineExceeded);
  CHECK(Contains(status, "2 s"));
  CHECK(Contains(status, "--peer_deadline"));
  CHECK(Contains(status, "waiting"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(60));
  const int child = std::stoi(testing::ReadText(file));
  // It has no parent any more and may be a zombie of the machine's first process for a moment.
  const auto is_alive = [child] {
    std::ifstream stat(absl::StrCat("/proc/", child, "/stat"));
    std::string id, name, state;
    return static_cast<bool>(stat >> id >> name >> state) && state != "Z";
  };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (is_alive() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  CHECK(!is_alive());
}

TEST_CASE("rounds: one that closes its output and lives on is not waited for", "[unit]") {
  const auto start = std::chrono::steady_clock::now();
  const absl::Status status = Shell("exec > /dev/null 2>&1; sleep 600", 0).status();
  CHECK(status.code() == absl::StatusCode::kAborted);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(60));
}

TEST_CASE("rounds: medians, quartiles and ratios of interleaved rounds", "[unit]") {
  std::vector<std::string> order, lines;
  const Results results = RunRounds(
      {Says("", {4, 1, 2, 5, 3}, "ms", &order), Says("jax", {8, 3, 2, 20, 3}, "ms", &order)}, 5,
      [&](const std::string& line) { lines.push_back(line); });
  CHECK(results.ok());
  CHECK(order == std::vector<std::string>{"ours", "jax", "ours", "jax", "ours", "jax", "ours",
                                          "jax", "ours", "jax"});
  REQUIRE(results.rounds.size() == 5);
  CHECK(results.rounds[0].load_before >= 0);
  REQUIRE(results.figures.size() == 3);
  const Samples& ours = results.figures.at("ppo/step");
  CHECK(ours.values == std::vector<double>{4, 1, 2, 5, 3});
  CHECK(ours.Median() == 3);
  CHECK(ours.Low() == 2);
  CHECK(ours.High() == 4);
  CHECK(ours.unit == "ms");
  // Ratios within a round: 8/4, 3/1, 2/2, 20/5, 3/3.
  const Samples& ahead = results.figures.at("ppo/step ahead of jax");
  CHECK(ahead.values == std::vector<double>{2, 3, 1, 4, 1});
  CHECK(ahead.Median() == 2);
  CHECK(results.figures.at("ppo/step jax").Median() == 3);
  REQUIRE(lines.size() == 10);
  CHECK(lines[0] == "round 1 of 5: ppo");
  CHECK(Contains(lines[3], "round 2 of 5: ppo/jax, about 0:00 left"));
}

TEST_CASE("rounds: a rate is better when it is greater, and a ratio has none", "[unit]") {
  const Results rates =
      RunRounds({Says("", {6}, "steps/s"), Says("x", {3}, "steps/s")}, 1, Nothing);
  CHECK(rates.figures.at("ppo/step ahead of x").Median() == 2);
  const Results ratios = RunRounds({Says("", {6}, "ratio"), Says("x", {3}, "ratio")}, 1, Nothing);
  CHECK(ratios.figures.size() == 2);
}

TEST_CASE("rounds: a program that fails is left out from then on; the others' figures stay",
          "[unit]") {
  int asked = 0;
  const Program fails{
      .measurement = "ppo", .peer = "jax", .run = [&]() -> absl::StatusOr<RoundReport> {
        if (++asked == 2) return absl::AbortedError("broken");
        return RoundReport{.figures = {{"step", {2, "ms"}}}};
      }};
  std::vector<std::string> lines;
  const Results results = RunRounds({Says("", {1, 2, 3}), fails, Says("other", {1, 1, 1})}, 3,
                                    [&](const std::string& line) { lines.push_back(line); });
  CHECK(asked == 2);
  CHECK(!results.ok());
  CHECK(results.left_out.at("ppo/jax").message() == "broken");
  CHECK(results.figures.at("ppo/step").values.size() == 3);
  CHECK(results.figures.at("ppo/step other").values.size() == 3);
  CHECK(results.figures.at("ppo/step jax").values == std::vector<double>{2});
  CHECK(std::find(lines.begin(), lines.end(), "ppo/jax is left out: broken") != lines.end());

  // Ours fails: there is nothing to compare with, of an earlier measurement neither.
  const Program ours{.measurement = "signal", .run = []() -> absl::StatusOr<RoundReport> {
                       return absl::InternalError("ours broke");
                     }};
  Program theirs = Says("jax", {1});
  theirs.measurement = "signal";
  const Results none = RunRounds({Says("", {1}), ours, theirs}, 1, Nothing);
  CHECK(none.left_out.contains("signal"));
  CHECK(none.figures.contains("signal/step jax"));
  CHECK(!none.figures.contains("signal/step ahead of jax"));
}

TEST_CASE("rounds: what a peer cannot measure is no failure; another unit is", "[unit]") {
  const Program absent{
      .measurement = "ppo", .peer = "jax", .run = []() -> absl::StatusOr<RoundReport> {
        return absl::UnimplementedError("no jax");
      }};
  const Results without = RunRounds({Says("", {1}), absent}, 1, Nothing);
  CHECK(without.ok());
  CHECK(without.left_out.at("ppo/jax").message() == "no jax");

  const Results units = RunRounds({Says("", {1}, "ms"), Says("jax", {1}, "us")}, 1, Nothing);
  CHECK(!units.ok());
  CHECK(Contains(units.left_out.at("ppo/jax"), "figures.step: is in 'us', ours is in 'ms'"));
  CHECK(!units.figures.contains("ppo/step jax"));
}

TEST_CASE("rounds: a signal ends them, and what was measured stays", "[unit]") {
  const Program stopped{.measurement = "signal", .run = []() -> absl::StatusOr<RoundReport> {
                          return absl::CancelledError("stopped by a signal");
                        }};
  const Results results = RunRounds({Says("", {1, 2}), stopped}, 2, Nothing);
  CHECK(results.stopped);
  CHECK(!results.ok());
  CHECK(results.figures.at("ppo/step").values == std::vector<double>{1});
}

}  // namespace
}  // namespace mentor::bench
