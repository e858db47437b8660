#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/local/run_hash.h"
#include "cli/local/state_experiments.h"
#include "common/printable.h"
#include "common/process/flags.h"

namespace mentor {
namespace {

// The hash of an earlier checkpoint is not the hash of the run.
bool IsDamaged(const RunHash& hash) {
  if (hash.damaged.empty()) return false;
  std::fprintf(
      stderr,
      "error: the newest checkpoint is damaged, missing or of something else, so the hash of this "
      "run is not known; after outer update %u it was %s; run or resume the experiment again, or "
      "restore a backup%s\n",
      hash.outer_step, hash.state_hash.c_str(), PrintableLines(hash.damaged).c_str());
  return true;
}

// Prints a line for each experiment in the style of sha256sum: hash, name, folder.
int HashAll(const std::vector<StateExperiment>& experiments) {
  size_t name_width = 0;
  for (const StateExperiment& one : experiments) name_width = std::max(name_width, one.id.size());
  bool any = false;
  for (const StateExperiment& one : experiments) {
    const auto hash = HashRun(one.folder);
    if (!hash.ok()) {
      std::fprintf(
          stderr, "%s: %s\n", Printable(one.id).c_str(),
          PrintableLines({hash.status().message().data(), hash.status().message().size()}).c_str());
      continue;
    }
    any = true;
    if (IsDamaged(*hash)) continue;
    std::printf("%s  %-*s  %s\n", hash->state_hash.c_str(), static_cast<int>(name_width),
                Printable(one.id).c_str(), one.folder.c_str());
  }
  return any ? kExitOk : kExitFailed;
}

int Hash(const std::string& folder) {
  const std::vector<StateExperiment> experiments = ExperimentsIn(folder);
  if (experiments.size() > 1) return HashAll(experiments);
  const auto hash = HashRun(folder);
  if (!hash.ok()) return Fail(hash.status());
  if (IsDamaged(*hash)) return kExitFailed;
  std::printf("%s\n", hash->state_hash.c_str());
  return kExitOk;
}

}  // namespace

void AddHashCommand(CLI::App* app, Action* action) {
  const auto [command, folder] = AddCommand<std::string>(
      app, action, "hash", "Print one hash over signal network, optimizer and normalisers of a run",
      Hash);
  command
      ->add_option("RUN", *folder,
                   "Run folder, or the state folder of a meta-learner: a line for each experiment "
                   "where there are several")
      ->type_name("DIR")
      ->required();
  command->footer(
      "Examples:\n"
      "  mentor hash runs/fast\n"
      "  mentor hash state                     # of a meta-learner: hash, name and folder of each\n"
      "  mentor hash state/experiments/UID     # of one; 'mentorctl get NAME' shows the UID");
}

}  // namespace mentor
