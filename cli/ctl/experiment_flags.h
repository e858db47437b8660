// Flags of create and update that set fields of an experiment, and calls that several verbs share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "cli/ctl/commands.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::ctl {

struct ExperimentFlags {
  std::string priority, title, deadline, ttl;
  std::optional<uint32_t> weight, retries, keep_last, keep_every;
  std::vector<std::string> labels;  // "key=value"; for update also "key-", which removes the label.
};

void AddExperimentFlags(CLI::App* command, ExperimentFlags* flags, bool update);

// Sets the given fields and returns their names. INVALID_ARGUMENT names the flag.
absl::StatusOr<std::vector<std::string>> Apply(const ExperimentFlags& flags, absl::Time now,
                                               v1::Experiment* experiment);

// Returns the newest checkpoint; NOT_FOUND without any.
absl::StatusOr<v1::Checkpoint> NewestCheckpoint(Client* client, const std::string& experiment);

// Returns the experiments that have not ended.
absl::StatusOr<std::vector<v1::Experiment>> OpenExperiments(Client* client);

using Names = std::vector<std::string>;
// Runs `action` for each name, prints errors and continues. Returns the exit code of the first
// error.
int ForEach(Session& session, const Names& names,
            const std::function<absl::Status(const std::string& name)>& action);
// Returns the only name of `found`, which begin with what the user gave. INVALID_ARGUMENT when
// there are several; NOT_FOUND without any. `what`: "peer"; `part`: "its name".
absl::StatusOr<std::string> OnlyOne(const Names& found, const std::string& what,
                                    const std::string& given, const std::string& part);

// Adds the positional argument that most verbs have.
CLI::Option* AddNames(CLI::App* command, Names* names);
void AddName(CLI::App* command, std::string* name);

}  // namespace mentor::ctl
