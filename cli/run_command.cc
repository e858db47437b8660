#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "cli/commands.h"
#include "cli/local/branch.h"
#include "cli/local/local_run.h"
#include "cli/local/run_report.h"
#include "cli/local/web_page.h"
#include "cli/machine.h"
#include "cli/report/words.h"
#include "cli/spec_request.h"
#include "common/check.h"
#include "common/log.h"
#include "common/option_page.h"
#include "common/process/flags.h"
#include "common/spec/ready_specs.h"
#include "common/spec/spec.h"
#include "meta_learner/experiment/experiment_state.h"
#include "meta_learner/fleet/shard_board.h"

namespace mentor {
namespace {

struct RunFlags {
  SpecFlags source;
  std::string tensorboard;
  MachineFlags machine;
  std::string web;
  bool quiet = false;
  bool no_report = false;
  bool check_only = false;
  bool list = false;
  CommonFlags common{.log_format = "text", .metrics_address = ""};
};

int ListSpecs() {
  std::string text;
  for (const ReadySpec& spec : ReadySpecs()) AddListLine(spec.name, spec.title, &text);
  if (text.empty()) {
    return Fail(absl::NotFoundError(
        "no specs are installed; set MENTOR_EXPERIMENTS to a folder of them (*.txtpb)"));
  }
  std::printf("%sRun one: mentor run NAME; every setting of it: mentor run NAME --check\n",
              text.c_str());
  return kExitOk;
}

// Returns an error for a branch without changes and without updates left to make.
absl::Status CheckWork(const SpecRequest& request) {
  if (!request.branch) return absl::OkStatus();
  const v1::RuleSpec& rule = request.checked.spec.rule();
  const uint32_t made = request.branch->checkpoint.outer_step, wanted = rule.outer_updates();
  MENTOR_ASSIGN_OR_RETURN(const auto state, meta_learner::ReadState(request.branch->checkpoint));
  if (!meta_learner::IsTrained(state, rule) ||
      SpecHash(request.checked.spec) != SpecHash(request.branch->spec))
    return absl::OkStatus();
  if (made < wanted) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--from ", request.branch->run.string(), ": nothing to do: rule.patience ended it after ",
        made, " outer updates; add --set rule.patience=", 2 * rule.patience()));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--from ", request.branch->run.string(), ": nothing to do: ", made, " of ", wanted,
      " outer updates are made; add --set rule.outer_updates=", 2 * std::max(wanted, 1u)));
}

// Returns an error when a branch would use the folder of its origin.
absl::Status CheckFolder(const SpecRequest& request, const std::filesystem::path& out) {
  if (!request.branch) return absl::OkStatus();
  const bool same = SpecHash(request.checked.spec) == SpecHash(request.branch->spec);
  std::error_code error;
  if (!std::filesystem::equivalent(out, request.branch->run, error)) return absl::OkStatus();
  const std::string run = request.branch->run.string();
  return absl::InvalidArgumentError(
      same ? absl::StrCat("--from ", run,
                          ": nothing changes; add for instance --set rule.outer_updates=",
                          2 * request.checked.spec.rule().outer_updates(),
                          ", or give --out to repeat its updates in another folder")
           : absl::StrCat("--out ", run, ": is the run to continue from; give another folder"));
}

int Run(const RunFlags& flags) {
  if (flags.list) return ListSpecs();
  // The progress bar informs the user, so logs report only problems.
  InitLog(flags.common, "mentor", flags.quiet ? log::Severity::kInfo : log::Severity::kWarning);
  if (flags.source.spec.empty() == flags.source.from.empty()) {
    return Fail(absl::InvalidArgumentError(
        flags.source.spec.empty()
            ? "give a spec, or --from RUN; 'mentor run --list' shows the specs that "
              "come with Mentor"
            : "give a spec or --from RUN, not both: a run has its own spec"));
  }
  SpecRequest request;
  Violations violations;
  if (const absl::Status status = ReadRequest(flags.source, &request, &violations); !status.ok())
    return Fail(status, kExitUsage);
  if (!violations.empty()) return Refuse(flags.source, violations);
  const meta_learner::CheckedSpec& checked = request.checked;
  const std::filesystem::path out = FolderOf(flags.source, request, checked.spec);
  absl::Status fits = flags.check_only ? absl::OkStatus() : CheckWork(request);
  if (fits.ok()) fits = CheckFolder(request, out);
  if (!fits.ok()) return Fail(fits);
  for (const std::string& warning : checked.warnings)
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  if (flags.check_only) {
    std::fprintf(stderr, "run folder: %s\nspec hash: %s\n", out.string().c_str(),
                 SpecHash(checked.spec).c_str());
    std::fprintf(stderr, "%s\n", MemorySentence(checked.memory, flags.machine.threads).c_str());
    if (const uint64_t steps = checked.steps_of_update; steps > 0) {
      const uint32_t updates = checked.spec.rule().outer_updates();
      std::fprintf(stderr, "meta-training: at most %s of %s environment steps, %s in all\n",
                   report::Several(updates, "outer update").c_str(), report::Grouped(steps).c_str(),
                   report::Grouped(steps * updates).c_str());
    }
    if (const std::string success = meta_learner::SuccessInRandomSteps(checked); !success.empty())
      std::fprintf(stderr, "%s\n", success.c_str());
    std::printf(
        "%s",
        meta_learner::PrintWithDefaults(checked.spec, checked.needs.signal_network()).c_str());
    return kExitOk;
  }
  if (const absl::Status page =
          flags.web.empty() ? absl::OkStatus() : CheckPage("--web", flags.web);
      !page.ok())
    return Fail(page);
  const auto device = OpenProved(flags.machine, &checked.memory);
  if (!device.ok()) return Fail(device.status(), kExitUsage);
  const auto code =
      RunLocally({.checked = checked,
                  .out = out,
                  .actors = flags.machine.actors,
                  .threads = flags.machine.threads,
                  .device = *device,
                  .metrics_address = flags.common.metrics_address,
                  .tensorboard = flags.tensorboard,
                  .branch = std::move(request.branch),
                  .web = flags.web,
                  .quiet = flags.quiet,
                  .report = !flags.no_report,
                  .next_flags = ShellFlags("--simulator", flags.source.simulators.hosts)});
  return code.ok() ? *code : Fail(code.status());
}

}  // namespace

void AddRunCommand(CLI::App* app, Action* action) {
  const auto [run, flags] = AddCommand<RunFlags>(
      app, action, "run",
      "Run an experiment in this process; after Ctrl-C, the same command continues it", Run);
  AddSpecFlags(run, &flags->source);
  run->add_option("--from", flags->source.from,
                  "Instead of SPEC: continue from a run in a new folder, longer or with other "
                  "settings (--set): RUN, RUN/20 for its checkpoint after outer update 20, or a "
                  "checkpoint's file")
      ->type_name("RUN");
  run->add_option("--out", flags->source.out, "Run folder; default: runs/SPEC-HASH")
      ->type_name("DIR");
  run->add_option("--tensorboard", flags->tensorboard,
                  "Write TensorBoard event files to DIR/RUN-ID during the run, by mentor-sync of "
                  "mentor_client[tensorboard]")
      ->type_name("DIR");
  AddMachineFlags(run, &flags->machine);
  run->add_flag(absl::StrCat("--web{", kPageListen, "}"), flags->web,
                "Show the run in a browser while it goes on, at this HOST:PORT of this machine; "
                "default: a free port, which is printed. Afterwards: mentor web RUN")
      ->type_name("HOST:PORT");
  run->add_flag("--quiet", flags->quiet,
                "Show no progress bar; write a line of log for each event");
  run->add_flag("--no_report", flags->no_report,
                "Draw no report at the end, which takes some seconds; 'mentor report RUN' draws it "
                "at any time");
  run->add_flag("--check", flags->check_only,
                "Check the spec, print it with every default, and exit");
  run->add_flag("--list", flags->list, "List the specs that come with Mentor, and exit");
  AddCommonFlags(run, &flags->common);
  run->footer(
      "Examples:\n"
      "  mentor run point_reach                                one of the specs of --list\n"
      "  mentor run SPEC.txtpb --set rule.learning_rate=1e-3 --set seed=2 --out runs/fast\n"
      "  mentor run SPEC.txtpb --check > whole.txtpb           with every default\n"
      "  mentor run point_reach --tensorboard tb               then: tensorboard --logdir tb\n"
      "  mentor run point_reach --web                          in a browser, while it goes on\n"
      "  mentor run SPEC.txtpb --bundle my_robot/              a task of your own\n"
      "  mentor run SPEC.txtpb --simulator gym='python3 -m mentor_env'    one in another process\n"
      "  mentor run --from runs/fast --set rule.outer_updates=80     twice as long\n"
      "The run folder gets metrics.csv, a line for each outer update as it is done, and a report\n"
      "at the end.");
}

}  // namespace mentor
