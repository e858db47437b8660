// `mentor fetch EXPERIMENT`: an experiment of a service as a run folder on this machine, so that
// reports, evaluations and comparisons work with it as with a run of `mentor run`.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include <absl/status/status.h>

namespace CLI {
class App;
}

namespace mentor {

namespace ctl {
class Client;
class Output;
struct GlobalFlags;
}  // namespace ctl

void AddFetchCommand(CLI::App* app, std::function<int()>* action);

// The experiment's newest state as a run folder that does not exist yet, for a command that needs
// one. Exit code; what went wrong has been said.
int FetchRun(const ctl::GlobalFlags& connection, const std::string& experiment,
             const std::filesystem::path& out);

// Connects as mentorctl does, and calls `talk`, which a signal interrupts. Exit code of mentorctl;
// what went wrong has been said, or `when_interrupted`.
int TalkToService(const ctl::GlobalFlags& connection, bool quiet,
                  const std::string& when_interrupted,
                  const std::function<absl::Status(ctl::Client*, const ctl::Output&)>& talk);

}  // namespace mentor
