// Runs of specs on a service: submits those that it lacks, waits, and fetches each one as it ends,
// as `mentor fetch` does. Nothing is kept here but the fetched folders, so the same call goes on
// after an interruption. One thread.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "mentor/ctl/settings.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

struct ServiceRun {
  std::string id;  // Of the experiment.
  v1::ExperimentSpec spec;
  std::filesystem::path out;  // Where its folder comes; one that is there is not fetched again.
};

// on_folder is called once for each run, when its folder is there; on_failure with what became of
// those that ended otherwise, or are of another spec. Exit code: kOk when all runs came to one of
// both; what went wrong has been said.
int RunOnService(const ctl::GlobalFlags& connection, const std::vector<ServiceRun>& runs,
                 const std::function<void(size_t)>& on_folder,
                 const std::function<void(size_t, const std::string&)>& on_failure);

}  // namespace mentor
