#include "cli/ctl/commands.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <unistd.h>

#include "cli/ctl/screen.h"
#include "common/check.h"
#include "common/process/command_line.h"

namespace mentor::ctl {
namespace {

constexpr char kRootExamples[] =
    "mentorctl create -f point_reach --set seed=2 --wait\n"
    "mentorctl list --state running\n"
    "mentorctl watch first\n"
    "mentorctl get first --output json\n"
    "mentorctl top";

std::string Footer(const std::string& examples) {
  return absl::StrCat("Examples:\n  ", absl::StrReplaceAll(examples, {{"\n", "\n  "}}));
}

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&set, signal);
  return set;
}

}  // namespace

std::optional<std::string> FromEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
}

void AddConnectionFlags(CLI::App* app, GlobalFlags* flags) {
  AddOption(app, "--server", &flags->server, "HOST:PORT",
            "The meta-learner, or several that stand by for each other, separated by commas "
            "(MENTOR_SERVER); default 127.0.0.1:50052");
  AddOption(app, "--context", &flags->context, "CONTEXT",
            "Server and credentials of the config file to use (MENTOR_CONTEXT)");
  AddOption(app, "--config", &flags->config, "FILE",
            "Config file (MENTOR_CONFIG); default ~/.config/mentor/config.txtpb");
  AddOption(app, "--timeout", &flags->timeout, "SECONDS",
            "Longest time for a call in seconds (MENTOR_TIMEOUT); default 10. Waiting for an "
            "experiment has no limit");
  app->add_flag("--allow_insecure", flags->allow_insecure,
                "Allow plain text beyond this machine, on a network that protects itself "
                "(MENTOR_ALLOW_INSECURE)")
      ->group("Credentials");
  const auto credential = [&](const char* name, std::optional<std::string>* file,
                              const char* help) {
    AddOption(app, name, file, "FILE", help)->group("Credentials");
  };
  credential("--tls_ca", &flags->tls_ca,
             "Authority that the server's certificate must come from, PEM (MENTOR_TLS_CA)");
  credential("--tls_cert", &flags->tls_cert, "Own certificate, PEM (MENTOR_TLS_CERT)");
  credential("--tls_key", &flags->tls_key, "Key of the own certificate, PEM (MENTOR_TLS_KEY)");
  credential("--token_file", &flags->token_file,
             "File with the token (MENTOR_TOKEN_FILE); MENTOR_TOKEN holds the token itself");
}

absl::StatusOr<std::unique_ptr<Client>> Connect(const Settings& settings, bool verbose,
                                                std::function<void(const std::string&)> note) {
  MENTOR_ASSIGN_OR_RETURN(Secret token, settings.Token());
  return Client::Make(
      {.server = settings.server(),
       .tls = settings.tls(),
       .token = std::move(token),
       .allow_insecure = settings.allow_insecure(),
       .timeout_s = settings.timeout_s(),
       .verbose = verbose,
       .on_retry = [note = std::move(note)](const absl::Status& status) {
         note(absl::StrCat("waiting for the server (", std::string(status.message()), ")"));
       }});
}

void InterruptOnSignal(const std::shared_ptr<Client>& client) {
  std::thread([client] {
    const sigset_t set = StopSignals();
    int signal = 0;
    while (sigwait(&set, &signal) != 0) {
    }
    client->Interrupt();
    const timespec patience = {.tv_sec = 2, .tv_nsec = 0};
    sigtimedwait(&set, nullptr, &patience);
    RestoreScreen();
    _exit(128 + signal);
  }).detach();
}

CLI::Option* Repeatable(CLI::Option* option) {
  return option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

Commands::Commands()
    : root_("Submits, watches and controls experiments on a mentor-meta-learner.", "mentorctl") {
  std::string footer = Footer(kRootExamples) + "\n\nExit codes:";
  for (const auto& [code, meaning] : kExitMeanings) {
    absl::StrAppend(&footer, "\n  ", code, code < 10 ? "    " : "  ", std::string(meaning));
  }
  root_.footer(footer + "\n\n'mentorctl help VERB' says more about a verb.");
  AddVersionFlag(&root_);
  root_.require_subcommand(1);
  root_.fallthrough();
  AddConnectionFlags(&root_, &flags_);
  AddOption(&root_, "-o,--output", &flags_.output, "FORMAT:{table,json,yaml,csv,name}",
            "Form of the answer: table for people; json (one object a line), yaml, csv or name "
            "for programs (MENTOR_OUTPUT)");
  root_.add_flag("-q,--quiet", flags_.quiet, "Print no progress and no messages for people");
  root_.add_flag("--no_color", flags_.no_color, "Print tables without colours (NO_COLOR)");
  root_.add_flag("-v,--verbose", flags_.verbose, "Print a line on stderr for each call");
}

CLI::App* Commands::Add(const Place& place, const std::string& name, const std::string& help,
                        const std::string& examples, Verb verb, Needs needs) {
  CLI::App* command = (place.noun != nullptr ? place.noun : &root_)->add_subcommand(name, help);
  if (place.group != nullptr) command->group(place.group);
  command->footer(Footer(examples));
  SetVerb(command, std::move(verb), needs);
  return command;
}

void Commands::SetVerb(CLI::App* command, Verb verb, Needs needs) {
  command->callback([this, verb = std::move(verb), needs] {
    verb_ = verb;
    needs_ = needs;
  });
}

CLI::App* Commands::AddNoun(const char* group, const std::string& name, const std::string& help,
                            const std::string& examples) {
  CLI::App* noun = root_.add_subcommand(name, help)->group(group);
  noun->footer(Footer(examples));
  noun->require_subcommand(1);
  return noun;
}

std::unique_ptr<Commands> MakeCommands() {
  auto commands = std::make_unique<Commands>();
  AddCreateVerbs(commands.get());
  AddExperimentVerbs(commands.get());
  AddBundleVerbs(commands.get());
  AddWatchVerbs(commands.get());
  AddTopVerb(commands.get());
  AddMetricsVerbs(commands.get());
  AddFileVerbs(commands.get());
  AddFleetVerbs(commands.get());
  AddDoctorVerb(commands.get());
  AddConfigVerbs(commands.get());
  AddAccessVerbs(commands.get());
  AddCompletionVerbs(commands.get());
  return commands;
}

int Main(int argc, char** argv) {
  const sigset_t stop = StopSignals();
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  const auto commands = MakeCommands();
  if (const auto code = ParseCommandLine(&commands->root(), argc, argv)) return *code;
  const auto settings = Settings::Resolve(commands->flags(), FromEnvironment);
  if (!settings.ok()) return Output({}).Fail(settings.status());
  const Output output({.format = settings->format(),
                       .quiet = commands->flags().quiet,
                       .color = settings->color() && isatty(STDOUT_FILENO) == 1,
                       .columns = isatty(STDOUT_FILENO) == 1 ? Screen::columns() : 0,
                       .server = settings->server()});
  for (const std::string& warning : settings->warnings()) output.Note("warning: " + warning);
  Session session = {.settings = *settings, .output = output, .client = nullptr};
  const auto run = [&] {
    const absl::StatusOr<int> code = commands->verb()(session);
    return code.ok() ? *code : output.Fail(code.status());
  };
  if (commands->needs() == Needs::kNothing) {
    pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);
    return run();
  }
  auto made = Connect(*settings, commands->flags().verbose,
                      [&output](const std::string& sentence) { output.Note(sentence); });
  if (!made.ok()) {
    session.no_client = made.status();
    return commands->needs() == Needs::kAnswer ? run() : output.Fail(made.status());
  }
  const std::shared_ptr<Client> client = *std::move(made);
  InterruptOnSignal(client);
  session.client = client.get();
  const int code = run();
  return client->interrupted() && code != kOk ? kInterrupted : code;
}

}  // namespace mentor::ctl
