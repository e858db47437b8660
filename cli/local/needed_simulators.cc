#include "cli/local/needed_simulators.h"

#include <absl/strings/str_format.h>

#include "common/hosts.h"
#include "envs/host/host_list.h"

namespace mentor {

absl::Status CheckSimulators(const envs::Benchmark& benchmark) {
  for (const envs::Split split : {envs::Split::kTrain, envs::Split::kTest}) {
    for (const envs::TaskSet& set : benchmark.Tasks(split)) {
      const std::string name =
          HostOf(set.tasks.empty() ? set.draw({.purpose = Purpose::kTasks}, 0) : set.tasks[0]);
      if (name.empty() || envs::FindSimulator(name)) continue;
      return absl::FailedPreconditionError(absl::StrFormat(
          "--simulator %s=COMMAND: is missing; environment %s is simulated by another program, and "
          "nobody else can offer it here",
          name, set.name));
    }
  }
  return absl::OkStatus();
}

}  // namespace mentor
