// Runs of specs on a service: submits the missing ones, waits, and fetches each when it ends, as
// `mentor fetch` does. The only local state is the fetched folders, so the same call resumes after
// an interruption. One thread.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "cli/ctl/settings.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

struct ServiceRun {
  std::string id;  // Name of the experiment.
  v1::ExperimentSpec spec;
  std::filesystem::path out;  // Destination folder; an existing folder is not fetched again.
};

// Calls on_folder once for each run whose folder is complete. Calls on_failure with the reason for
// each run that ended otherwise or has another spec. Prints errors. Returns kOk when every run came
// to one of both.
int RunOnService(const ctl::GlobalFlags& connection, const std::vector<ServiceRun>& runs,
                 const std::function<void(size_t)>& on_folder,
                 const std::function<void(size_t, const std::string&)>& on_failure);

}  // namespace mentor
