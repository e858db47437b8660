// Environments against the bare simulator (docs/performance.md, `env`) and, where one is named,
// against another implementation in the same run.
#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/check.h"
#include "common/child_process.h"
#include "mentor/bench/bench.h"
#include "mentor/bench/environment_rounds.h"

namespace mentor::bench {
namespace {

std::string peer_command;
std::vector<std::string> only;

// A program that steps the same environments in its own way. It reads lines `NAME STEPS SEED` and
// answers each with `peer us NUMBER`, the microseconds of CPU time of one step, or with `peer none
// REASON`; tests/bench/envpool_peer.py is one. What else it says is left aside.
class Peer {
 public:
  static absl::StatusOr<std::unique_ptr<Peer>> Start(const std::string& command) {
    int requests[2], answers[2];
    if (pipe2(requests, O_CLOEXEC) != 0 || pipe2(answers, O_CLOEXEC) != 0) {
      return absl::InternalError("no pipe to the peer");
    }
    auto child = ChildProcess::Start({.command = {"/bin/sh", "-c", "exec " + command},
                                      .input = requests[0],
                                      .output = answers[1]});
    close(requests[0]);
    close(answers[1]);
    std::unique_ptr<Peer> peer(new Peer(fdopen(requests[1], "w"), fdopen(answers[0], "r")));
    MENTOR_RETURN_IF_ERROR(child.status());
    peer->child_ = *std::move(child);
    return peer;
  }

  absl::StatusOr<double> StepUs(std::string_view environment, int steps, uint32_t seed) {
    absl::FPrintF(requests_.get(), "%s %d %d\n", environment, steps, seed);
    std::fflush(requests_.get());
    std::string said;
    char buffer[4096];
    while (std::fgets(buffer, sizeof(buffer), answers_.get()) != nullptr) {
      std::string_view line = buffer;
      if (line.ends_with('\n')) line.remove_suffix(1);
      said = line;
      double us = 0;
      if (std::sscanf(buffer, "peer us %lf", &us) == 1 && us > 0) return us;
      if (line.starts_with("peer none ")) return absl::NotFoundError(said.substr(10));
    }
    return absl::FailedPreconditionError(
        absl::StrCat("--peer '", peer_command, "' ended without an answer about ",
                     std::string(environment), "; the last that it said: ", said));
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Close>;

  Peer(std::FILE* requests, std::FILE* answers) : requests_(requests), answers_(answers) {}

  std::unique_ptr<ChildProcess> child_;
  const File requests_, answers_;
};

absl::StatusOr<Figures> RunEnv(const Settings& settings) {
  BenchSettings bench_settings{.rounds = settings.rounds, .only = only};
  std::unique_ptr<Peer> peer;
  if (!peer_command.empty()) {
    MENTOR_ASSIGN_OR_RETURN(peer, Peer::Start(peer_command));
    bench_settings.peer = [&peer](std::string_view environment, int steps, uint32_t seed) {
      return peer->StepUs(environment, steps, seed);
    };
  }
  MENTOR_ASSIGN_OR_RETURN(const EnvironmentBench bench, BenchEnvironments(bench_settings));
  Figures figures;
  for (const SceneBench& scene : bench.scenes) {
    const std::string& name = scene.environment;
    figures["step/" + name] = {scene.step_ratio, "ratio", ""};
    figures["with_resets/" + name] = {scene.with_resets_ratio, "ratio", ""};
    figures["step_us/" + name] = {scene.step_us, "us", ""};
    figures["bare_us/" + name] = {scene.bare_us, "us", ""};
    figures["reset_us/" + name] = {scene.reset_us, "us", ""};
    figures["first_reset_us/" + name] = {scene.first_reset_us, "us", ""};
    if (!scene.peer_error.empty()) {
      std::fprintf(stderr, "%s: nothing of the peer: %s\n", name.c_str(), scene.peer_error.c_str());
    } else if (peer != nullptr) {
      figures["peer_us/" + name] = {scene.peer_us, "us", ""};
      figures["ahead_of_peer/" + name] = {scene.ahead_of_peer_ratio, "ratio", "goal above 1"};
    }
  }
  for (const SuiteBench& suite : bench.suites) {
    const bool gymnasium = suite.suite.starts_with("Gymnasium");
    const std::string name = suite.suite + ": ";
    figures[name + "step"] = {suite.step_ratio, "ratio",
                              gymnasium ? "must 0.90, goal 0.95" : "must 0.80, goal 0.90"};
    figures[name + "with resets"] = {suite.with_resets_ratio, "ratio",
                                     gymnasium ? "" : "must 0.80, goal 0.89"};
    figures[name + "two threads"] = {suite.two_threads_ratio, "ratio", "must 1.85, goal 1.95"};
    figures[name + "two threads by CPU time"] = {suite.two_threads_cpu_ratio, "ratio", ""};
    if (peer == nullptr) continue;
    figures[name + "peer with resets"] = {suite.peer_bare_ratio, "ratio", ""};
    figures[name + "ahead of peer"] = {suite.ahead_of_peer_ratio, "ratio", "goal above 1"};
  }
  return figures;
}

const RegisterBench register_env(
    {.name = "env",
     .summary = "Environment steps against bare mj_step; resets; two threads",
     .run = RunEnv,
     .add_flags = [](CLI::App* command) {
       command->add_option("--only", only, "Only these environments; default: all on MuJoCo");
       command->add_option(
           "--peer", peer_command,
           "A program to compare with, such as 'python3 tests/bench/envpool_peer.py'");
     }});

}  // namespace
}  // namespace mentor::bench
