#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include <absl/strings/str_cat.h>

#include "cli/commands.h"
#include "cli/ctl/commands.h"
#include "cli/ctl/experiment_flags.h"
#include "cli/ctl/values.h"
#include "cli/fetch.h"
#include "cli/local/signal_export.h"
#include "cli/local/trained_run.h"
#include "cli/report/words.h"
#include "cli/signal_names.h"
#include "common/check.h"
#include "common/process/command_line.h"
#include "common/process/flags.h"
#include "common/resources/names.h"
#include "common/spec/named_bundles.h"
#include "common/temporary_folder.h"
#include "envs/host/host_list.h"

namespace mentor {
namespace {

struct ExportFlags {
  ctl::GlobalFlags connection;
  std::string run;
  std::string weights = "last";
  bool no_check = false;
  std::filesystem::path discriminator;
  SimulatorFlags hosts;
  ExportOptions options;
};

// True if `name` is the name of an experiment of a service: neither a path nor the state of a local
// run.
bool IsExperiment(const std::string& name) {
  std::error_code error;
  const std::filesystem::path path = name;
  if (std::filesystem::exists(path, error)) return false;
  return IsExperimentId(ctl::ShortName(name));
}

int RunExport(ExportFlags& flags) {
  const bool is_bundle = !flags.discriminator.empty();
  if (is_bundle) flags.options.out = flags.discriminator;
  if (flags.options.out.empty()) {
    return Fail(absl::InvalidArgumentError("--out or --discriminator: name the folder to write"),
                kExitUsage);
  }
  if (IsSignal(flags.run)) {
    return Fail(absl::InvalidArgumentError(absl::StrCat(
                    flags.run, ": is an export already; 'mentor evaluate ", flags.run,
                    "' and mentor_signal.load take it as it is, and 'mentor export' a run")),
                kExitUsage);
  }
  if (const absl::Status status = envs::AllowSimulators(flags.hosts.hosts, flags.hosts.timeout_s);
      !status.ok())
    return Fail(status, kExitUsage);
  flags.options.best = flags.weights == "best";
  flags.options.check = !flags.no_check;
  std::string run = flags.run;
  std::optional<TemporaryFolder> fetched;
  if (IsExperiment(run)) {
    auto folder = TemporaryFolder::Create("mentor-export-");
    if (!folder.ok()) return Fail(folder.status());
    fetched.emplace(*std::move(folder));
    const std::filesystem::path copy = fetched->path() / ctl::ShortName(run);
    if (const int code = FetchRun(flags.connection, run, copy); code != kExitOk) return code;
    run = copy.string();
  }
  const auto trained = ReadRun(run);
  if (!trained.ok()) return Fail(trained.status());
  const auto exported = is_bundle ? ExportDiscriminator(*trained, flags.options)
                                  : ExportSignal(*trained, flags.options);
  if (!exported.ok()) return Fail(exported.status());
  const std::string& out = flags.options.out.string();
  std::printf("%s: network %s, %s, after outer update %d\n", out.c_str(),
              trained->spec.signal().name().c_str(),
              report::Several(exported->parameters, "weight").c_str(), trained->outer_step);
  for (const std::filesystem::path& file : exported->files) std::printf("  %s\n", file.c_str());
  std::printf("%s bytes\n", report::Grouped(exported->bytes).c_str());
  if (is_bundle) {
    std::printf("Next         mentor run random_rewards_maml --bundle %s\n", out.c_str());
    return kExitOk;
  }
  std::printf("Next         mentor evaluate %s%s; docs/signals.md has the Python package\n",
              out.c_str(), BundlesOf(trained->spec).empty() ? "" : " --bundle DIR");
  return kExitOk;
}

}  // namespace

void AddExportCommand(CLI::App* app, Action* action) {
  const auto [command, flags] = AddCommand<ExportFlags>(
      app, action, "export",
      "Write the signal network that a run has learned as files for other programs", RunExport);
  command
      ->add_option("RUN", flags->run,
                   "Run folder, RUN/20 for the state after outer update 20, a checkpoint's file, "
                   "or the name of an experiment of a service")
      ->required();
  command
      ->add_option("--out", flags->options.out,
                   "Folder to write, which the Hugging Face Hub takes as it is: weights "
                   "(model.safetensors), config.json, a card (README.md), and a recorded lifetime "
                   "with which a reader can check its results")
      ->type_name("DIR");
  command
      ->add_option("--discriminator", flags->discriminator,
                   "Instead of --out: folder for the discriminator of a run of rule diayn, a "
                   "bundle that gives wrapper random_reward its tasks (mentor run --bundle DIR)")
      ->type_name("DIR")
      ->excludes("--out");
  command
      ->add_option(
          "--weights", flags->weights,
          "The weights after the last outer update, or those with the best score in training")
      ->check(OneOf({"last", "best"}))
      ->capture_default_str();
  command->add_option("--name", flags->options.name,
                      "Title of the card; default: the folder's name");
  command->add_option("--license", flags->options.license,
                      "License of the weights on the card, as the Hugging Face Hub names it "
                      "(apache-2.0); default: the card names none");
  command->add_flag("--force", flags->options.replace, "Write over an earlier export");
  command->add_flag("--no_check", flags->no_check, "Leave the recorded lifetime out");
  AddSimulatorFlags(command, &flags->hosts);
  ctl::AddConnectionFlags(command, &flags->connection);
  command->footer(
      "Examples:\n"
      "  mentor export runs/reach --out signals/reach\n"
      "  mentor export runs/reach/20 --out signals/reach-20      after outer update 20\n"
      "  mentor export reach-1 --out signals/reach-1             an experiment of a service\n"
      "  mentor export runs/skills --discriminator skills\n"
      "  mentor export runs/boat --out signals/boat --simulator gym='python3 -m mentor_env'\n"
      "  mentor evaluate signals/reach\n"
      "The Python package mentor_signal of python loads such a folder. Server and\n"
      "credentials are found as in mentorctl.");
}

}  // namespace mentor
