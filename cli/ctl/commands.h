// The tree of verbs, and the session that a running verb gets. Each *_verbs.cc file adds its verbs.
// The shell completion and the manual page walk the tree. One thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include "cli/ctl/client.h"
#include "cli/ctl/output.h"
#include "cli/ctl/settings.h"

namespace mentor::ctl {

struct Session {
  const Settings& settings;
  const Output& output;
  Client* client;  // Null for verbs that talk to no server.
  // Why `client` is null although the verb needs a client (Needs::kAnswer).
  absl::Status no_client = {};
};
// Returns the exit code. An error is printed, with its exit code.
using Verb = std::function<absl::StatusOr<int>(Session&)>;
enum class Needs {
  kServer,
  kNothing,
  kAnswer,  // It runs without a client, too, and explains why the connection failed.
};

// Groups of verbs in --help.
inline constexpr char kExperimentGroup[] = "Experiments";
inline constexpr char kResultGroup[] = "Results";
inline constexpr char kFleetGroup[] = "Fleet";
inline constexpr char kClientGroup[] = "This program";

// Where a verb stands: in a group of --help, or under a noun.
struct Place {
  Place(const char* group) : group(group) {}
  Place(CLI::App* noun) : noun(noun) {}
  const char* group = nullptr;
  CLI::App* noun = nullptr;
};

class Commands {
 public:
  Commands();

  // `help` is one line; `examples` are lines without indentation. `verb` runs when the user typed
  // this command.
  CLI::App* Add(const Place& place, const std::string& name, const std::string& help,
                const std::string& examples, Verb verb, Needs needs = Needs::kServer);
  // The same for a verb with flags. They live as long as the command.
  template <typename Flags>
  std::pair<CLI::App*, Flags*> Add(const Place& place, const std::string& name,
                                   const std::string& help, const std::string& examples,
                                   absl::StatusOr<int> (*verb)(Session&, const Flags&),
                                   Needs needs = Needs::kServer) {
    const auto flags = std::make_shared<Flags>();
    CLI::App* command = Add(
        place, name, help, examples,
        [verb, flags](Session& session) { return verb(session, *flags); }, needs);
    return {command, flags.get()};
  }
  // Adds a noun that has verbs of its own: config, certs, token, bundles.
  CLI::App* AddNoun(const char* group, const std::string& name, const std::string& help,
                    const std::string& examples);
  // Sets the verb of a command that is in the tree already.
  void SetVerb(CLI::App* command, Verb verb, Needs needs);

  CLI::App& root() { return root_; }
  const GlobalFlags& flags() const { return flags_; }
  // The verb that the user typed; null before the parse.
  const Verb& verb() const { return verb_; }
  Needs needs() const { return needs_; }

 private:
  CLI::App root_;
  GlobalFlags flags_;
  Verb verb_;
  Needs needs_ = Needs::kServer;
};

// Adds an option; --help shows its value as `type`.
template <typename T>
CLI::Option* AddOption(CLI::App* app, const char* name, T* value, const std::string& type,
                       const std::string& help) {
  return app->add_option(name, *value, help)->type_name(type);
}
// Makes an option repeatable, with one value each time.
CLI::Option* Repeatable(CLI::Option* option);

// Adds the flags for the server's address and the user's credentials.
void AddConnectionFlags(CLI::App* app, GlobalFlags* flags);
// Returns an environment variable of this process; nullopt when it is unset or empty.
std::optional<std::string> FromEnvironment(const std::string& name);
// Calls `note` with a sentence for the user when a call must wait for the server.
absl::StatusOr<std::unique_ptr<Client>> Connect(const Settings& settings, bool verbose,
                                                std::function<void(const std::string&)> note);

// The first stop signal interrupts the client. A second signal, or two more seconds, exits the
// process. Stop signals must be blocked in all threads.
void InterruptOnSignal(const std::shared_ptr<Client>& client);

void AddCreateVerbs(Commands* commands);      // create, apply, validate, clone
void AddBundleVerbs(Commands* commands);      // bundles push, list, show, pull, delete
void AddExperimentVerbs(Commands* commands);  // get, list, update, pause, resume, cancel, delete
void AddWatchVerbs(Commands* commands);       // watch, wait, logs
void AddTopVerb(Commands* commands);          // top
void AddMetricsVerbs(Commands* commands);     // metrics
void AddFileVerbs(Commands* commands);        // checkpoints, download, artifacts
void AddFleetVerbs(Commands* commands);       // peers, drain, shards, tasks, catalogue
void AddConfigVerbs(Commands* commands);      // config
void AddCompletionVerbs(Commands* commands);  // completion, __complete, __man
void AddDoctorVerb(Commands* commands);       // doctor
void AddAccessVerbs(Commands* commands);      // certs init, token new

// Returns the tree with all verbs.
std::unique_ptr<Commands> MakeCommands();
// The main function of mentorctl. Returns the exit code.
int Main(int argc, char** argv);

}  // namespace mentor::ctl
