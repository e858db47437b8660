#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>

#include <absl/strings/str_cat.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/doctor/doctor.h"
#include "cli/doctor/measure.h"
#include "cli/local/run_report.h"
#include "cli/machine.h"
#include "cli/report/report_program.h"
#include "cli/spec_request.h"
#include "common/process/flags.h"

namespace mentor {
namespace {

struct DoctorFlags {
  SpecFlags source;
  uint64_t steps = 0;  // 0: as many as take a minute or two.
  MachineFlags machine;
  bool json = false;
  bool quiet = false;
};

// Steps for a minute or two. A simulator in another process takes about a millisecond for one.
constexpr uint64_t kSteps = 2'000'000, kSimulatorSteps = 100'000;

// The command that runs the same spec.
std::string RunOf(const SpecFlags& flags) {
  return absl::StrCat("mentor run ", ShellWord(flags.spec), ShellFlags("--set", flags.overrides),
                      ShellFlags("--bundle", flags.bundles),
                      ShellFlags("--simulator", flags.simulators.hosts));
}

int Print(const std::string& text, bool found) {
  std::printf("%s", text.c_str());
  return found ? kExitFound : kExitOk;
}

// Says what a run has learned.
int AskRun(const DoctorFlags& flags) {
  if (!flags.source.overrides.empty() || flags.steps > 0) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat(flags.source.spec,
                     " is a run, which the doctor only reads: leave out --set and --steps, or "
                     "give the spec")));
  }
  // A folder that cannot be written leaves its records here while the program reads them.
  const std::filesystem::path otherwise =
      std::filesystem::temp_directory_path() / absl::StrCat("mentor-doctor-", getpid());
  const auto records = WriteRecordsOf(flags.source.spec, otherwise);
  if (!records.ok()) return Fail(records.status());
  const auto code = report::RunReportProgram(
      {flags.source.spec, absl::StrCat("--records=", flags.source.spec, "=", records->string()),
       flags.json ? "--json" : "--say"});
  std::error_code ignored;
  std::filesystem::remove_all(otherwise, ignored);
  return code.ok() ? *code : Fail(code.status());
}

int RunDoctor(const DoctorFlags& flags) {
  if (FindRunState(flags.source.spec).ok()) return AskRun(flags);
  SpecRequest request;
  Violations violations;
  if (const absl::Status status = ReadRequest(flags.source, &request, &violations); !status.ok())
    return Fail(status, kExitUsage);
  if (!violations.empty()) return Refuse(flags.source, violations);
  const auto device = OpenProved(flags.machine, &request.checked.memory);
  if (!device.ok()) return Fail(device.status(), kExitUsage);
  const uint64_t usual = flags.source.simulators.hosts.empty() ? kSteps : kSimulatorSteps;
  const uint64_t steps = flags.steps > 0 ? flags.steps : usual;
  if (!flags.quiet) {
    const doctor::Plan plan = doctor::PlanOf(request.checked.spec, steps);
    std::fprintf(stderr,
                 "random agents, then PPO in %d lifetimes of %llu steps on each reward, and in "
                 "longer ones if it learns nothing: at most %.2g million steps\n",
                 plan.lifetimes, static_cast<unsigned long long>(plan.lifetime_steps),
                 1e-6 * static_cast<double>(plan.steps()));
  }
  const auto measured = doctor::Measure({.checked = request.checked,
                                         .steps = steps,
                                         .threads = flags.machine.threads,
                                         .device = *device,
                                         .quiet = flags.quiet});
  if (!measured.ok()) return Fail(measured.status());
  const auto findings = doctor::Judge(*measured);
  const std::string next = RunOf(flags.source);
  return Print(flags.json ? doctor::JsonOf(*measured, findings, next)
                          : doctor::TextOf(*measured, findings, next),
               std::ranges::any_of(findings, &doctor::Finding::problem));
}

}  // namespace

void AddDoctorCommand(CLI::App* app, Action* action) {
  const auto [command, flags] = AddCommand<DoctorFlags>(
      app, action, "doctor",
      "Find out why nothing is learned: try a spec's tasks with random agents and PPO, or read "
      "what a run has learned",
      RunDoctor);
  AddSpecFlags(command, &flags->source);
  command->get_option("SPEC")->required()->description(
      "A spec as 'mentor run' takes it, or the folder of a run");
  command
      ->add_option("--steps", flags->steps,
                   "Environment steps that all measurements together may take, about; default: two "
                   "million, or 100,000 in simulators of other processes")
      ->check(CLI::Range(uint64_t{1000}, uint64_t{1'000'000'000'000}));
  command->add_option("--threads", flags->machine.threads, "Threads that simulate and learn")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  kernels::AddDeviceFlags(command, &flags->machine.device);
  command->add_flag("--json", flags->json, "Print numbers and findings as JSON");
  command->add_flag("--quiet", flags->quiet, "Show no progress");
  command->footer(
      "Examples:\n"
      "  mentor doctor point_reach\n"
      "  mentor doctor runs/mine                          was anything learned, and what next?\n"
      "  mentor doctor my_robot.txtpb --bundle my_robot/ --steps 500000\n"
      "  mentor doctor fetch_reach.yaml --simulator gym='python3 -m mentor_env' --json\n"
      "It looks in this order: the spec; random agents (do they ever succeed? what do they see?);\n"
      "PPO on success and on the reward, within the spec's lifetime; PPO in lifetimes 4 and 16\n"
      "times as long. Of a run it reads whether success moved in meta-training, and what the\n"
      "evaluation says against PPO. Exit status: 0 if nothing keeps the spec from learning, or "
      "the\n"
      "run learned; 3 otherwise. docs/it_does_not_learn.md explains every finding.");
}

}  // namespace mentor
