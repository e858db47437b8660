// Flags of create and update that set fields of an experiment, and calls that several verbs share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "mentor/ctl/commands.h"
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

// Selects the experiments that a verb acts on.
struct Selection {
  std::string filter, state;
  std::vector<std::string> labels;
};
void AddSelection(CLI::App* command, Selection* selection);
// Returns the selection as a filter for the server. INVALID_ARGUMENT names the flag.
absl::StatusOr<std::string> FilterOf(const Selection& selection);
// Quotes a value for a filter.
std::string InQuotes(const std::string& text);

// Returns the newest checkpoint; NOT_FOUND without any.
absl::StatusOr<v1::Checkpoint> NewestCheckpoint(Client* client, const std::string& experiment);

// Reads all pages; on_page returns false to stop early.
absl::Status ListAll(Client* client, v1::ListExperimentsRequest request,
                     const std::function<bool(const v1::ListExperimentsResponse&)>& on_page);
absl::Status ListAll(Client* client, v1::ListCheckpointsRequest request,
                     const std::function<bool(const v1::ListCheckpointsResponse&)>& on_page);

// Runs `action` for each name and continues after errors. Returns the exit code of the first error.
int ForEach(Session& session, const std::vector<std::string>& names,
            const std::function<int(const std::string& name)>& action);

// Adds the positional argument "names" that most verbs have.
CLI::Option* AddNames(CLI::App* command, std::vector<std::string>* names);
CLI::Option* AddName(CLI::App* command, std::string* name);

}  // namespace mentor::ctl
