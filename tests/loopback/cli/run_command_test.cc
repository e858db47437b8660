// The memory that `mentor run` takes, against the bound that it works out before the run: for every
// registered rule with its inner loop.
#include <string>
#include <vector>

#include <absl/strings/str_join.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/commands.h"
#include "common/file.h"
#include "common/spec/spec.h"
#include "methods/base/outer_rule.h"
#include "tests/checked_spec_of.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using Overrides = std::vector<std::string>;

constexpr int kThreads = 1;

double BoundBytes(const v1::ExperimentSpec& spec) {
  const meta_learner::SpecMemory memory = testing::CheckedSpecOf(spec).memory;
  return static_cast<double>(memory.meta_learner_bytes + memory.largest.With(kThreads));
}

// A small experiment with the rule and its example. From each line it has the first settings that
// its parts accept, and that leave the bound below 2 GB.
v1::ExperimentSpec Spec(const methods::RuleEntry& entry,
                        const std::vector<std::vector<Overrides>>& settings) {
  v1::ExperimentSpec spec;
  spec.set_seed(5);
  methods::AddExample(entry, &spec);
  if (!spec.has_benchmark()) {
    spec.mutable_benchmark()->set_name("single");
    spec.mutable_benchmark()->set_environment("point_reach");
  }
  const std::string text = PrintSpec(spec);
  Overrides taken;
  for (const auto& line : settings) {
    for (const Overrides& choice : line) {
      Overrides more = taken;
      more.insert(more.end(), choice.begin(), choice.end());
      const auto larger = LoadSpec(text, more, meta_learner::CheckParts);
      if (!larger.ok() || BoundBytes(*larger) > 2e9) continue;
      taken = std::move(more);
      break;
    }
  }
  INFO(entry.name << " --set " << absl::StrJoin(taken, " --set "));
  const auto loaded = LoadSpec(text, taken, meta_learner::CheckParts);
  INFO(loaded.status());
  REQUIRE(loaded.ok());
  return *loaded;
}

// Runs the spec in a process of its own and returns the peak of its resident memory in bytes.
double PeakBytes(const v1::ExperimentSpec& spec, const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "spec.txtpb", out = folder / "run";
  REQUIRE(WriteFileAtomically(file, PrintSpec(spec), 0644).ok());
  const std::string program = testing::BuildPath("bin/mentor"), threads = std::to_string(kThreads);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    alarm(300);  // Ends a run that hangs; outlives execl.
    // The peak is that of the children, too: a report takes as much as a small run.
    execl(program.c_str(), "mentor", "run", file.c_str(), "--out", out.c_str(), "--quiet",
          "--no_report", "--threads", threads.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  REQUIRE(wait4(child, &status, 0, &usage) == child);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

// The first line must make every example whole, since the settings are tried one after the other.
const std::vector<std::vector<Overrides>> kSmall = {
    {{"rule.lifetimes_per_update=4", "rule.shard_lifetimes=4", "rule.outer_updates=1",
      "evaluation.lifetimes_per_goal=0"},
     {"rule.lifetimes_per_update=10", "rule.shard_lifetimes=10", "rule.outer_updates=1",
      "evaluation.lifetimes_per_goal=0"},
     {"rule.shard_lifetimes=4", "rule.outer_updates=1", "evaluation.lifetimes_per_goal=0"},
     {"rule.shard_lifetimes=10", "rule.outer_updates=1", "evaluation.lifetimes_per_goal=0"},
     {"rule.population=2", "rule.max_active=6", "rule.lifetimes_per_update=96",
      "rule.shard_lifetimes=8", "rule.outer_updates=1", "evaluation.lifetimes_per_goal=0"},
     {"rule.outer_updates=0", "evaluation.lifetimes_per_goal=1"}},
    {{"agent.epochs=1"}},
    {{"agent.minibatches=1"}},
    {{"rule.epochs=1"}},
    {{"lifetime.steps_per_iteration=200"}, {"lifetime.steps_per_iteration=400"}},
    {{"lifetime.iterations=2"}, {"lifetime.iterations=3"}, {"lifetime.iterations=4"}},
};

// What makes each part large that a spec may have.
const std::vector<std::vector<Overrides>> kLarge = {
    {{"agent.hidden_units=512"}, {"agent.hidden_units=128"}},
    {{"rule.hidden_units=512"}, {"rule.hidden_units=128"}},
    {{"signal.hidden=512"}, {"signal.hidden=128"}},
    {{"rule.lstm_units=512"}, {"rule.lstm_units=128"}},
    {{"signal.lstm=512"}, {"signal.lstm=128"}},
    {{"rule.projection=4096"}, {"rule.projection=512"}},
};

TEST_CASE("memory: what every rule takes stays below its bound", "[loopback][nightly]") {
  for (const methods::RuleEntry* entry : methods::OuterRules()) {
    // Another test registered the rule; the program does not know it.
    if (entry->summary == "for tests") continue;
    std::vector<std::vector<Overrides>> large = kSmall;
    large.insert(large.end(), kLarge.begin(), kLarge.end());
    const v1::ExperimentSpec small_spec = Spec(*entry, kSmall), large_spec = Spec(*entry, large);
    const testing::TempFolder small_folder, large_folder;
    // The difference leaves out the code and what every process holds.
    const double used =
        PeakBytes(large_spec, large_folder.path()) - PeakBytes(small_spec, small_folder.path());
    const double bound = BoundBytes(large_spec) - BoundBytes(small_spec);
    constexpr double kMebibyte = 1 << 20;
    INFO(entry->name << ": used " << used / kMebibyte << " MiB, bound " << bound / kMebibyte
                     << " MiB");
    CHECK(bound > 16 * kMebibyte);
    CHECK(used <= bound);
  }
}

}  // namespace mentor::TEST_FILE
