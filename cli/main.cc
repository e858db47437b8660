// mentor: everything on one machine. It runs experiments, evaluates, compares and hashes runs, and
// shows environments, outer rules and signal networks.
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agents/numerics.h"
#include "cli/commands.h"
#include "common/lifecycle.h"
#include "common/log.h"
#include "common/process/command_line.h"
#include "common/process/completion.h"
#include "common/process/flags.h"
#include "common/spec/ready_specs.h"
#include "kernels/device.h"

namespace mentor {
namespace {

// Adds the shell completion and the manual page.
void AddShellCommands(CLI::App* app, Action* action) {
  const SetAction set = [action](CLI::App* command, const std::function<int()>& run) {
    command->callback([=] { *action = run; });
  };
  AddCompletionCommands(app, "mentor", set, [](std::string_view kind, const std::string&) {
    std::vector<std::string> names;
    if (kind != "SPEC") return names;
    for (const ReadySpec& spec : ReadySpecs()) names.push_back(spec.name);
    return names;
  });
  AddManualCommand(app,
                   {.program = "mentor",
                    .exit_meanings = {{kExitOk, "done"},
                                      {kExitFailed, "failed, or stopped before the end"},
                                      {kExitUsage, "wrong usage, or an invalid spec or file"},
                                      {kExitFound, "mentor doctor has found a problem"},
                                      {kExitInUse, "the run folder is in use by another process"},
                                      {kExitTooNew, "the run folder is of a newer version"},
                                      {kExitDevice, "the device of --device has failed"}}},
                   set);
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Meta-learns training signals: intrinsic rewards and advantages that teach "
      "reinforcement-learning agents.");
  app.require_subcommand(1);
  AddVersionFlag(&app, std::string(kernels::kKernels));
  Action action;

  AddRunCommand(&app, &action);
  AddHashCommand(&app, &action);
  AddEvaluateCommand(&app, &action);
  AddReportCommand(&app, &action);
  AddWebCommand(&app, &action);
  AddReproduceCommand(&app, &action);
  AddFetchCommand(&app, &action);
  AddExportCommand(&app, &action);
  AddEnvCommand(&app, &action);
  AddNewCommand(&app, &action);
  AddDoctorCommand(&app, &action);
  AddRuleCommands(&app, &action);
  AddShellCommands(&app, &action);
  // Set the footer after adding the commands, which would inherit it.
  app.footer(
      "Examples:\n"
      "  mentor run point_reach                                       one minute: the whole "
      "effect of a learned signal\n"
      "  mentor run SPEC.txtpb --set rule.learning_rate=1e-3 --out runs/fast\n"
      "  mentor hash runs/fast                                        one hash over everything "
      "that was learned\n"
      "  mentor evaluate runs/fast --seeds 5; mentor report runs/fast runs/slow --out comparison\n"
      "  mentor web runs                                              the same in a browser\n"
      "  mentor fetch reach-1; mentor report runs/reach-1             an experiment of a service\n"
      "  mentor export runs/fast --out signals/fast                   weights for Python, with a "
      "card\n"
      "  mentor rule list; mentor signal show lstm\n"
      "  mentor new robot my_robot                                    a task of your own, ready to "
      "run\n"
      "  mentor env list; mentor env show door-close-v3\n"
      "  mentor env render door-close-v3 --out door.gif");

  if (const auto code = ParseCommandLine(&app, argc, argv)) return *code;
  if (const absl::Status status = agents::FixNumerics(); !status.ok()) return Fail(status);
  // The output of a command informs the user, so logs report only problems.
  log::Init({.format = log::Format::kText, .least = log::Severity::kWarning, .logger = "mentor"});
  return action();
}

}  // namespace
}  // namespace mentor

int main(int argc, char** argv) {
  mentor::ExplainLimits();
  mentor::BlockStopSignals();
  mentor::EndMain(mentor::Main(argc, argv));
}
