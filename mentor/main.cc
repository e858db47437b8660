// mentor: everything on one machine: run experiments, evaluate, compare and hash runs, look at
// environments, outer rules and signal networks, measure.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <thread>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>

#include "common/file.h"
#include "common/lifecycle.h"
#include "common/log.h"
#include "common/machine_memory.h"
#include "common/process/command_line.h"
#include "common/process/completion.h"
#include "common/process/flags.h"
#include "common/process/manual.h"
#include "common/spec/spec.h"
#include "learner/agents/numerics.h"
#include "mentor/bench/bench.h"
#include "mentor/env_command.h"
#include "mentor/evaluate_command.h"
#include "mentor/fetch.h"
#include "mentor/local/local_run.h"
#include "mentor/local/run_report.h"
#include "mentor/rule_command.h"
#include "meta_learner/experiment/parts.h"
#include "meta_learner/experiment/spec_memory.h"
#include "meta_learner/fleet/shard_board.h"

namespace mentor {
namespace {

int Cores() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

struct RunFlags {
  std::string spec;
  std::vector<std::string> overrides;
  std::string out;
  int actors = 1;
  int threads = Cores();
  bool quiet = false;
  bool check_only = false;
  CommonFlags common{.log_format = "text", .metrics_address = ""};
};

uint64_t LearnerBytes(const meta_learner::SpecMemory& memory, int threads) {
  return learner::kLearnerProcessBytes + memory.largest.With(static_cast<uint32_t>(threads));
}

// In one process: what both have in common is there once.
uint64_t NeededHere(const meta_learner::SpecMemory& memory, int threads) {
  return memory.meta_learner_bytes + memory.largest.With(static_cast<uint32_t>(threads));
}

std::string MemorySentence(const meta_learner::SpecMemory& memory, int threads) {
  return "memory: a learner needs at most " +
         meta_learner::Gigabytes(LearnerBytes(memory, threads)) +
         " for a shard, the meta-learner " + meta_learner::Gigabytes(memory.meta_learner_bytes);
}

int Run(const RunFlags& flags) {
  log::Format format = log::Format::kText;
  log::ParseFormat(flags.common.log_format, &format).IgnoreError();
  // The progress bar says what a user wants to know; logs say what went wrong.
  log::Init({.format = format,
             .least = flags.quiet ? log::Severity::kInfo : log::Severity::kWarning,
             .logger = "mentor"});
  const auto text = ReadFile(flags.spec, kSpecBytesMax);
  if (!text.ok()) return Fail(text.status(), kExitUsage);
  Violations violations;
  const v1::ExperimentSpec spec =
      ParseSpec(*text, flags.overrides, &violations, meta_learner::CheckParts);
  if (!violations.empty()) {
    const bool flags_alone =
        std::all_of(violations.list().begin(), violations.list().end(),
                    [](const Violation& one) { return one.field.starts_with("--set "); });
    std::fprintf(stderr,
                 flags_alone ? "error: not every --set says what to change in %s:\n"
                             : "error: %s is not a spec that can be run:\n",
                 flags.spec.c_str());
    for (const Violation& violation : violations.list()) {
      std::fprintf(stderr, "  %s: %s\n", violation.field.c_str(), violation.description.c_str());
    }
    return kExitUsage;
  }
  const auto memory = meta_learner::MemoryOfSpec(spec);
  if (flags.check_only) {
    if (memory) std::fprintf(stderr, "%s\n", MemorySentence(*memory, flags.threads).c_str());
    std::printf("%s", PrintSpec(WithDefaults(spec)).c_str());
    return kExitOk;
  }
  if (const uint64_t machine = MachineMemoryBytes();
      memory && machine > 0 && NeededHere(*memory, flags.threads) > machine) {
    std::fprintf(stderr,
                 "warning: %s, and this machine has %s free: if the kernel ends the run, make "
                 "rule.shard_lifetimes or agent.hidden_units smaller\n",
                 MemorySentence(*memory, flags.threads).c_str(),
                 meta_learner::Gigabytes(machine).c_str());
  }
  const auto code = RunLocally({.spec = spec,
                                .out = flags.out.empty() ? DefaultRunFolder(flags.spec, spec)
                                                         : std::filesystem::path(flags.out),
                                .actors = flags.actors,
                                .threads_per_actor = flags.threads,
                                .learner_threads = flags.threads,
                                .metrics_address = flags.common.metrics_address,
                                .quiet = flags.quiet});
  return code.ok() ? *code : Fail(code.status());
}

int Hash(const std::string& folder) {
  const auto hash = HashRun(folder);
  if (!hash.ok()) return Fail(hash.status());
  std::printf("%s\n", hash->state_hash.c_str());
  return kExitOk;
}

// Completion and the manual page.
void AddShellCommands(CLI::App* app, std::function<int()>* action) {
  const SetAction set = [action](CLI::App* command, const std::function<int()>& run) {
    command->callback([=] { *action = run; });
  };
  AddCompletionCommands(app, "mentor", set, [](std::string_view, const std::string&) {
    return std::vector<std::string>();
  });
  AddManualCommand(app,
                   {.program = "mentor",
                    .exit_meanings = {{kExitOk, "done"},
                                      {kExitFailed, "failed, or stopped before the end"},
                                      {kExitUsage, "usage, or a spec or file that is not legal"},
                                      {kExitInUse, "the run folder is in use by another process"},
                                      {kExitTooNew, "the run folder is of a newer version"}}},
                   set);
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Meta-learns training signals: intrinsic rewards and advantages that teach "
      "reinforcement-learning agents.");
  app.require_subcommand(1);
  AddVersionFlag(&app);
  std::function<int()> action;

  RunFlags run_flags;
  CLI::App* run = app.add_subcommand(
      "run", "Run an experiment in this process; Ctrl-C stops, the same command goes on");
  run->add_option("SPEC", run_flags.spec, "Spec, protobuf text format")->required();
  run->add_option("--set", run_flags.overrides,
                  "Override, for instance --set rule.outer_updates=10")
      ->allow_extra_args(false);
  run->add_option("--out", run_flags.out, "Run folder; default: runs/SPEC-HASH");
  run->add_option("--actors", run_flags.actors, "Actors")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  run->add_option("--threads", run_flags.threads,
                  "Threads of each actor, and of learner and meta-learner")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  run->add_flag("--quiet", run_flags.quiet, "No progress bar");
  run->add_flag("--check", run_flags.check_only,
                "Check the spec, print it with every default, and end");
  AddCommonFlags(run, &run_flags.common);
  run->footer(
      "Examples:\n"
      "  mentor run deploy/experiments/point_reach.txtpb\n"
      "  mentor run SPEC.txtpb --set rule.learning_rate=1e-3 --set seed=2 --out runs/fast\n"
      "  mentor run SPEC.txtpb --check > whole.txtpb           every default written out");
  run->callback([&] { action = [&] { return Run(run_flags); }; });

  std::string folder;
  CLI::App* hash = app.add_subcommand(
      "hash", "Print one hash over signal network, optimizer and normalisers of a run");
  hash->add_option("RUN", folder, "Run folder")->required();
  hash->footer(
      "Examples:\n"
      "  mentor hash runs/fast\n"
      "  mentor hash state                 the folder of a meta-learner with one experiment\n"
      "  mentor hash state/experiments/UID with several; 'mentorctl get NAME' shows the UID");
  hash->callback([&] { action = [&] { return Hash(folder); }; });

  AddEvaluateCommand(&app, &action);
  AddReportCommand(&app, &action);
  AddFetchCommand(&app, &action);
  AddEnvCommand(&app, &action);
  AddRuleCommands(&app, &action);
  bench::AddCommand(&app, &action);
  AddShellCommands(&app, &action);
  // After the commands, which would take it for theirs.
  app.footer(
      "Examples:\n"
      "  mentor run deploy/experiments/point_reach.txtpb              one minute: the whole "
      "effect of a learned signal\n"
      "  mentor run SPEC.txtpb --set rule.learning_rate=1e-3 --out runs/fast\n"
      "  mentor hash runs/fast                                        one hash over everything "
      "that was learned\n"
      "  mentor evaluate runs/fast --seeds 5; mentor report runs/fast runs/slow --out comparison\n"
      "  mentor fetch reach-1; mentor report runs/reach-1             an experiment of a service\n"
      "  mentor rule list; mentor signal show lstm\n"
      "  mentor env list; mentor env show door-close-v3\n"
      "  mentor env render door-close-v3 --out door.gif\n"
      "  mentor bench env --json");

  if (const auto code = ParseCommandLine(&app, argc, argv)) return *code;
  if (const absl::Status status = learner::FixNumerics(); !status.ok()) return Fail(status);
  // The answer of a command says what a user wants to know; logs say what went wrong.
  log::Init({.format = log::Format::kText, .least = log::Severity::kWarning, .logger = "mentor"});
  return action();
}

}  // namespace
}  // namespace mentor

int main(int argc, char** argv) {
  mentor::BlockStopSignals();
  return mentor::Main(argc, argv);
}
