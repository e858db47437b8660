// The verb `completion`, and the hidden verbs for the shells and help2man.
#include "cli/ctl/commands.h"
#include "cli/ctl/values.h"
#include "common/process/completion.h"
#include "common/spec/ready_specs.h"

namespace mentor::ctl {
namespace {

// Returns names from the config file or the server for completion. Prints no errors and takes at
// most one second.
std::vector<std::string> NamesFrom(const Settings& settings, std::string_view kind,
                                   const std::string& begun) {
  std::vector<std::string> names;
  if (kind == "CONTEXT") {
    for (const auto& context : settings.config().context()) names.push_back(context.name());
    return names;
  }
  const auto token = settings.Token();
  if (!token.ok()) return names;
  const auto client = Client::Make({.server = settings.server(),
                                    .tls = settings.tls(),
                                    .token = *token,
                                    .allow_insecure = settings.allow_insecure(),
                                    .timeout_s = 1});
  if (!client.ok()) return names;
  // "first/ch" asks for the checkpoints of first.
  const size_t slash = ShortName(begun).find('/');
  if (kind == "PEER") {
    const auto answer = (*client)->Call(&Stub::ListPeers, v1::ListPeersRequest());
    if (!answer.ok()) return names;
    for (const auto& peer : answer->peers()) names.push_back(peer.name());
  } else if (kind == "CHECKPOINT" && slash != begun.npos) {
    v1::ListCheckpointsRequest request;
    request.set_parent(FullName(ShortName(begun).substr(0, slash)));
    const auto answer = (*client)->Call(&Stub::ListCheckpoints, request);
    if (!answer.ok()) return names;
    for (const auto& checkpoint : answer->checkpoints()) names.push_back(checkpoint.name());
  } else {
    v1::ListExperimentsRequest request;
    request.set_page_size(1000);
    const auto answer = (*client)->Call(&Stub::ListExperiments, request);
    if (!answer.ok()) return names;
    for (const auto& experiment : answer->experiments()) names.push_back(experiment.name());
  }
  if (!begun.starts_with("experiments/")) {
    for (std::string& name : names) name = ShortName(name);
  }
  return names;
}

}  // namespace

void AddCompletionVerbs(Commands* commands) {
  const SetAction set = [=](CLI::App* command, const std::function<int()>& action) {
    commands->SetVerb(
        command, [=](Session&) { return action(); }, Needs::kNothing);
  };
  const NamesOf names = [=](std::string_view kind,
                            const std::string& begun) -> std::vector<std::string> {
    std::vector<std::string> found;
    if (kind == "SPEC") {
      for (const ReadySpec& spec : ReadySpecs()) found.push_back(spec.name);
      return found;
    }
    if (kind != "EXPERIMENT" && kind != "CHECKPOINT" && kind != "PEER" && kind != "CONTEXT") {
      return {};
    }
    const auto settings = Settings::Resolve(commands->flags(), FromEnvironment);
    if (!settings.ok()) return {};
    found = NamesFrom(*settings, kind, begun);
    for (std::string& name : found) name = Printable(name);
    return found;
  };
  AddCompletionCommands(&commands->root(), "mentorctl", set, names)->group(kClientGroup);
  Manual manual = {.program = "mentorctl", .commands = "VERB"};
  for (const auto& [code, meaning] : kExitMeanings) {
    manual.exit_meanings.emplace_back(code, std::string(meaning));
  }
  AddManualCommand(&commands->root(), manual, set);
}

}  // namespace mentor::ctl
