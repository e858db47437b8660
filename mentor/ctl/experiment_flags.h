// Flags of create and update that set fields of an experiment, and calls that several verbs need.
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
  std::vector<std::string> labels;  // "key=value"; in an update also "key-", which removes it.
};

void AddExperimentFlags(CLI::App* command, ExperimentFlags* flags, bool update);

// Sets what was given; the answer names the fields. INVALID_ARGUMENT names the flag.
absl::StatusOr<std::vector<std::string>> Apply(const ExperimentFlags& flags, absl::Time now,
                                               v1::Experiment* experiment);

// Experiments that a verb is about.
struct Selection {
  std::string filter, state;
  std::vector<std::string> labels;
};
void AddSelection(CLI::App* command, Selection* selection);
// As the server reads it; INVALID_ARGUMENT names the flag.
absl::StatusOr<std::string> FilterOf(const Selection& selection);
// A value in a filter.
std::string InQuotes(const std::string& text);

// NOT_FOUND when there is none.
absl::StatusOr<v1::Checkpoint> NewestCheckpoint(Client* client, const std::string& experiment);

// All pages. on_page returns false for enough.
absl::Status ListAll(Client* client, v1::ListExperimentsRequest request,
                     const std::function<bool(const v1::ListExperimentsResponse&)>& on_page);
absl::Status ListAll(Client* client, v1::ListCheckpointsRequest request,
                     const std::function<bool(const v1::ListCheckpointsResponse&)>& on_page);

// Runs one action for each name; goes on after errors; the first one's code.
int ForEach(Session& session, const std::vector<std::string>& names,
            const std::function<int(const std::string& name)>& action);

// The positional "names" that most verbs have.
CLI::Option* AddNames(CLI::App* command, std::vector<std::string>* names);
CLI::Option* AddName(CLI::App* command, std::string* name);

}  // namespace mentor::ctl
