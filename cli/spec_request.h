// The experiment that a command line names: a spec with --set, --bundle and --simulator, or a run
// to continue from. For `mentor run` and `mentor doctor`.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "cli/local/branch.h"
#include "common/process/flags.h"
#include "common/violations.h"
#include "meta_learner/experiment/checked_spec.h"

namespace CLI {
class App;
}

namespace mentor {

struct SpecFlags {
  std::string spec;
  std::string from;  // Only `mentor run` has it.
  std::vector<std::string> overrides;
  std::vector<std::string> bundles;
  SimulatorFlags simulators;
  std::string out;
};
// Adds SPEC, --set, --bundle and --simulator.
void AddSpecFlags(CLI::App* command, SpecFlags* flags);

struct SpecRequest {
  std::filesystem::path origin;  // The spec's file, or the folder of the run to continue.
  std::optional<BranchSource> branch;
  meta_learner::CheckedSpec checked;
};

// Fills the request, or the violations of the spec. An error names a flag or a file.
absl::Status ReadRequest(const SpecFlags& flags, SpecRequest* request, Violations* violations);
// Prints every violation at once on stderr; returns the exit code.
int Refuse(const SpecFlags& flags, const Violations& violations);
// Where a run of the spec goes.
std::filesystem::path FolderOf(const SpecFlags& flags, const SpecRequest& request,
                               const v1::ExperimentSpec& spec);

// Returns " FLAG VALUE" for each value, as a shell takes it: quoted where it must be.
std::string ShellFlags(const std::string& flag, const std::vector<std::string>& values);
// The word as a shell takes it.
std::string ShellWord(const std::string& word);

}  // namespace mentor
