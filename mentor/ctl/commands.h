// The tree of verbs and what a verb is given when it runs. Each file *_verbs.cc adds its own; the
// completion and the manual page are made by walking the tree. One thread.
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
  // Why there is no client although the verb needs one (Commands::LetExplain).
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

  // `help` is one line; `examples` are lines without indentation. The verb is run when it is the
  // one that was typed.
  CLI::App* Add(const std::string& group, const std::string& name, const std::string& help,
                const std::string& examples, Verb verb);
  // The same for a verb that needs no server.
  CLI::App* AddLocal(const std::string& group, const std::string& name, const std::string& help,
                     const std::string& examples, Verb verb);
  // `command` runs without a client too and says why there is none.
  void LetExplain(const CLI::App* command) { explaining_ = command; }
  // A noun that has verbs of its own: config, certs, token, export.
  CLI::App* AddNoun(const std::string& group, const std::string& name, const std::string& help,
                    const std::string& examples);
  CLI::App* AddUnder(CLI::App* noun, const std::string& name, const std::string& help,
                     const std::string& examples, Verb verb, bool local);

  // For a command that is in the tree already.
  void SetVerb(CLI::App* command, Verb verb, bool local);

  CLI::App& root() { return root_; }
  const GlobalFlags& flags() const { return flags_; }
  // What was typed; null before the parse.
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

// The flags that say where the server is and who we are.
void AddConnectionFlags(CLI::App* app, GlobalFlags* flags);
// A variable of this process; nullopt when it is not set, or empty.
std::optional<std::string> FromEnvironment(const std::string& name);
// `note` gets a sentence for people when a call has to wait for the server.
absl::StatusOr<std::unique_ptr<Client>> Connect(const Settings& settings, bool verbose,
                                                std::function<void(const std::string&)> note);

// The first signal ends what the client waits for. What has not ended by itself two seconds later,
// or at the second signal, ends then. Stop signals must be blocked in all threads.
void InterruptOnSignal(const std::shared_ptr<Client>& client);

// An option that may be repeated, one value each time.
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

// All of them.
std::unique_ptr<Commands> MakeCommands();

}  // namespace mentor::ctl
