// `mentor fetch EXPERIMENT`: copies an experiment of a service into a local run folder. Reports,
// evaluations and comparisons treat it like a run of `mentor run`.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include <absl/status/status.h>

namespace mentor {

namespace ctl {
class Client;
class Output;
struct GlobalFlags;
}  // namespace ctl

// Fetches the newest state of the experiment into the new run folder `out`, for a command that
// needs a run. Prints errors and returns the exit code.
int FetchRun(const ctl::GlobalFlags& connection, const std::string& experiment,
             const std::filesystem::path& out);

// Connects as mentorctl does and calls `talk`, which a signal interrupts. Prints errors, or
// `when_interrupted`, and returns the exit code of mentorctl.
int TalkToService(const ctl::GlobalFlags& connection, bool quiet,
                  const std::string& when_interrupted,
                  const std::function<absl::Status(ctl::Client*, const ctl::Output&)>& talk);

}  // namespace mentor
