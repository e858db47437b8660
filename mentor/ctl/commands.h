// The tree of verbs, and the session that a running verb gets. Each *_verbs.cc file adds its verbs.
// The shell completion and the manual page walk the tree. One thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "mentor/ctl/client.h"
#include "mentor/ctl/output.h"
#include "mentor/ctl/settings.h"

namespace mentor::ctl {

struct Session {
  const Settings& settings;
  const Output& output;
  Client* client;  // Null for verbs that talk to no server.
  // Why `client` is null although the verb needs a client (Commands::LetExplain).
  absl::Status no_client = {};
};
using Verb = std::function<int(Session&)>;

// Groups of verbs in --help.
inline constexpr char kExperimentGroup[] = "Experiments";
inline constexpr char kResultGroup[] = "Results";
inline constexpr char kFleetGroup[] = "Fleet";
inline constexpr char kClientGroup[] = "This program";

class Commands {
 public:
  Commands();

  // `help` is one line; `examples` are lines without indentation. `verb` runs when the user typed
  // this command.
  CLI::App* Add(const std::string& group, const std::string& name, const std::string& help,
                const std::string& examples, Verb verb);
  // As Add, for a verb that needs no server.
  CLI::App* AddLocal(const std::string& group, const std::string& name, const std::string& help,
                     const std::string& examples, Verb verb);
  // Lets `command` run without a client, so that it can explain why the connection failed.
  void LetExplain(const CLI::App* command) { explaining_ = command; }
  // Adds a noun that has verbs of its own: config, certs, token, export.
  CLI::App* AddNoun(const std::string& group, const std::string& name, const std::string& help,
                    const std::string& examples);
  CLI::App* AddUnder(CLI::App* noun, const std::string& name, const std::string& help,
                     const std::string& examples, Verb verb, bool local);

  // Sets the verb of a command that is in the tree already.
  void SetVerb(CLI::App* command, Verb verb, bool local);

  CLI::App& root() { return root_; }
  const GlobalFlags& flags() const { return flags_; }
  // The verb that the user typed; null before the parse.
  const Verb& verb() const { return verb_; }
  bool local() const { return local_; }
  bool explains() const { return explaining_ != nullptr && explaining_->parsed(); }

 private:
  CLI::App root_;
  GlobalFlags flags_;
  Verb verb_;
  bool local_ = false;
  const CLI::App* explaining_ = nullptr;
};

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

// Makes an option repeatable, with one value each time.
CLI::Option* Repeatable(CLI::Option* option);

void AddCreateVerbs(Commands* commands);      // create, apply, validate, clone
void AddSweepVerbs(Commands* commands);       // sweep, table
void AddBundleVerbs(Commands* commands);      // bundles push, list, show, pull, delete
void AddExperimentVerbs(Commands* commands);  // get, list, update, pause, resume, cancel, delete
void AddWatchVerbs(Commands* commands);       // watch, wait, logs
void AddTopVerb(Commands* commands);          // top
void AddMetricsVerbs(Commands* commands);     // metrics, plot, export tensorboard
void AddFileVerbs(Commands* commands);        // checkpoints, download, artifacts
void AddFleetVerbs(Commands* commands);       // peers, drain, shards, tasks, catalogue
void AddConfigVerbs(Commands* commands);      // config, version
void AddCompletionVerbs(Commands* commands);  // completion, __complete, __man
void AddDoctorVerb(Commands* commands);       // doctor
void AddAccessVerbs(Commands* commands);      // certs init, token new

// Returns the tree with all verbs.
std::unique_ptr<Commands> MakeCommands();

}  // namespace mentor::ctl
