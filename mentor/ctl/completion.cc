// completion, __complete, __man.
#include "mentor/ctl/completion.h"

#include <algorithm>
#include <map>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>

#include "mentor/ctl/commands.h"
#include "mentor/ctl/experiment_flags.h"
#include "mentor/ctl/values.h"

namespace mentor::ctl {
namespace {

constexpr char kStates[] = "QUEUED RUNNING PAUSING PAUSED CANCELLING CANCELLED SUCCEEDED FAILED";

// Words that a value of this type can be; empty when nothing is known. "<files>", "<folders>" and
// "<ask KIND>" are for the shell and for the server.
std::string WordsOfType(const std::string& type) {
  static const std::map<std::string, std::string> kWords = {
      {"EXPERIMENT", "<ask experiments>"},
      {"CHECKPOINT", "<ask checkpoints>"},
      {"PEER", "<ask peers>"},
      {"CONTEXT", "<ask contexts>"},
      {"FILE", "<files>"},
      {"DIR", "<folders>"},
      {"FORMAT", "table json yaml name"},
      {"PRIORITY", "low normal high"},
      {"STATE", kStates},
      {"SHELL", "bash zsh fish"},
      {"KIND", "environment benchmark signal rule wrapper"},
      {"ROLE", "viewer operator actor learner"},
  };
  const auto found = kWords.find(type);
  return found == kWords.end() ? "" : found->second;
}

std::string TypeOf(const CLI::Option& option) {
  // A check adds its own words behind the name: "KIND:{...}", "NUMBER:INT in [1 - 100]".
  const std::string type = option.get_type_name();
  size_t end = type.size();
  for (const char* check : {":{", ":INT ", ":UINT ", ":FLOAT "}) {
    end = std::min(end, type.find(check));
  }
  return type.substr(0, end);
}

// One place of the tree: what may stand there.
struct Node {
  std::string path;                     // "export tensorboard"; empty: the root.
  std::vector<std::string> verbs = {};  // Below it.
  std::map<std::string, std::string> help = {};
  struct Flag {
    std::vector<std::string> spellings;  // "--output"; with dashes too: "--order_by" "--order-by".
    bool takes_value = false;
    std::string words;
    std::string help;
  };
  std::vector<Flag> flags = {};
  std::vector<std::string> positionals = {};  // Words of each; the last one may repeat.
};

bool Hidden(const CLI::App& command) {
  return command.get_name().starts_with("__");
}

void AddFlags(const CLI::App& command, Node* node) {
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_group().empty()) continue;
    if (option->get_positional()) {
      node->positionals.push_back(WordsOfType(TypeOf(*option)));
      continue;
    }
    Node::Flag flag;
    for (const std::string& name : option->get_snames()) flag.spellings.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) flag.spellings.push_back("--" + name);
    flag.takes_value = option->get_expected_max() > 0 && option->get_type_size() != 0;
    if (flag.takes_value) flag.words = WordsOfType(TypeOf(*option));
    flag.help = option->get_description();
    node->flags.push_back(std::move(flag));
  }
}

void Walk(const CLI::App& command, const std::string& path, std::vector<Node>* nodes) {
  Node node = {.path = path};
  AddFlags(command, &node);
  for (const CLI::App* below : command.get_subcommands({})) {
    if (Hidden(*below)) continue;
    node.verbs.push_back(below->get_name());
    node.help[below->get_name()] = below->get_description();
  }
  nodes->push_back(std::move(node));
  for (const CLI::App* below : command.get_subcommands({})) {
    if (!Hidden(*below)) {
      Walk(*below, path.empty() ? below->get_name() : path + " " + below->get_name(), nodes);
    }
  }
}

// Flags of a verb and those of the root, which stand anywhere.
std::vector<Node::Flag> FlagsAt(const Node& node, const Node& root) {
  std::vector<Node::Flag> flags = node.flags;
  if (node.path.empty()) return flags;
  for (const Node::Flag& flag : root.flags) {
    const bool known = std::any_of(flags.begin(), flags.end(), [&](const Node::Flag& one) {
      return one.spellings.back() == flag.spellings.back();
    });
    if (!known) flags.push_back(flag);
  }
  return flags;
}

std::vector<std::string> Spellings(const std::vector<Node::Flag>& flags, bool with_value_only) {
  std::vector<std::string> all;
  for (const Node::Flag& flag : flags) {
    if (with_value_only && !flag.takes_value) continue;
    all.insert(all.end(), flag.spellings.begin(), flag.spellings.end());
  }
  return all;
}

// In single quotes for bash and zsh.
std::string Quoted(const std::string& text) {
  return "'" + absl::StrReplaceAll(text, {{"'", "'\\''"}}) + "'";
}

// ---- bash and zsh: one function that finds the place in the tree from the words before the
// cursor.

constexpr char kBashHead[] =
    R"sh(# bash completion of mentorctl; made by 'mentorctl completion bash'.
# Use it now: source <(mentorctl completion bash)

_mentorctl_words() {  # WORDS: sets COMPREPLY; "<...>" asks the shell or the server.
  case "$1" in
    '<files>') mapfile -t COMPREPLY < <(compgen -f -- "$current")
      compopt -o filenames 2>/dev/null ;;
    '<folders>') mapfile -t COMPREPLY < <(compgen -d -- "$current")
      compopt -o filenames 2>/dev/null ;;
    '<ask '*)
      local kind="${1#<ask }"
      mapfile -t COMPREPLY < <("$program" "${globals[@]}" __complete "${kind%>}" "$current" \
        2>/dev/null) ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current") ;;
  esac
}

_mentorctl() {
  local current="${COMP_WORDS[COMP_CWORD]}" program="${COMP_WORDS[0]}"
  local place='' count=0 flag='' word i
  local -a globals=()
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    if [ -n "$flag" ]; then
      [ "$word" = '=' ] && continue
      case "$flag" in --server|--context|--config|--tls_ca|--tls_cert|--tls_key|--token_file)
        globals+=("$flag" "$word") ;;
      esac
      flag=''
      continue
    fi
    case "$word" in
      --*) word="--$(tr - _ <<<"${word#--}")" ;;
    esac
    case "$word" in
)sh";

// What zsh lacks of bash's completion.
constexpr char kZshHead[] = R"sh(# zsh completion of mentorctl; made by 'mentorctl completion zsh'.
# Use it now: source <(mentorctl completion zsh)
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
autoload -Uz bashcompinit && bashcompinit
(( $+functions[mapfile] )) || mapfile() {  # -t NAME
  emulate -L zsh
  local text="$(cat)"
  if [[ -n $text ]]; then set -A "$2" "${(@f)text}"; else set -A "$2"; fi
}
)sh";

constexpr char kBashTail[] = R"(
complete -F _mentorctl mentorctl
)";

std::string BashFunctions(const std::vector<Node>& nodes) {
  const Node& root = nodes[0];
  std::string script;
  // Flags with a value are known in all places; a spelling means the same everywhere but for -f.
  std::vector<std::string> with_value;
  for (const Node& node : nodes) {
    for (const std::string& spelling : Spellings(node.flags, true)) {
      if (spelling != "-f" &&
          std::find(with_value.begin(), with_value.end(), spelling) == with_value.end()) {
        with_value.push_back(spelling);
      }
    }
  }
  absl::StrAppend(&script, "      ", absl::StrJoin(with_value, "|"), ") flag=\"$word\" ;;\n");
  absl::StrAppend(&script, "      -f) [ \"$place\" = logs ] || flag=--file ;;\n");
  absl::StrAppend(&script, "      -*) ;;\n      *)\n        case \"$place/$word\" in\n");
  for (const Node& node : nodes) {
    if (node.verbs.empty()) continue;
    std::vector<std::string> patterns;
    for (const std::string& verb : node.verbs) {
      patterns.push_back(Quoted(node.path + "/" + verb));
    }
    absl::StrAppend(&script, "          ", absl::StrJoin(patterns, "|"),
                    ") place=\"${place:+$place }$word\" ;;\n");
  }
  absl::StrAppend(&script,
                  "          *) count=$((count + 1)) ;;\n        esac ;;\n    esac\n  done\n"
                  "  [ \"$current\" = '=' ] && current=''\n");

  // The value of a flag.
  absl::StrAppend(&script, "  if [ -n \"$flag\" ]; then\n    case \"$place/$flag\" in\n");
  std::map<std::string, std::vector<std::string>> by_words;
  for (const Node& node : nodes) {
    for (const Node::Flag& flag : FlagsAt(node, root)) {
      if (!flag.takes_value || flag.words.empty()) continue;
      for (const std::string& spelling : flag.spellings) {
        if (spelling.starts_with("--")) {
          by_words[flag.words].push_back(Quoted(node.path + "/" + spelling));
        }
      }
    }
  }
  for (const auto& [words, patterns] : by_words) {
    absl::StrAppend(&script, "      ", absl::StrJoin(patterns, "|"), ")\n        _mentorctl_words ",
                    Quoted(words), " ;;\n");
  }
  absl::StrAppend(&script, "    esac\n    return\n  fi\n");

  // A flag, a verb or a positional.
  absl::StrAppend(&script, "  case \"$place\" in\n");
  for (const Node& node : nodes) {
    absl::StrAppend(&script, "    ", Quoted(node.path),
                    ")\n      if [[ \"$current\" == -* ]]; then\n", "        _mentorctl_words ",
                    Quoted(absl::StrJoin(Spellings(FlagsAt(node, root), false), " ")), "\n");
    if (!node.verbs.empty()) {
      absl::StrAppend(&script, "      else\n        _mentorctl_words ",
                      Quoted(absl::StrJoin(node.verbs, " ")), "\n");
    } else if (node.positionals.size() == 1 && !node.positionals[0].empty()) {
      absl::StrAppend(&script, "      else\n        _mentorctl_words ", Quoted(node.positionals[0]),
                      "\n");
    } else if (node.positionals.size() > 1 && !node.positionals[0].empty()) {
      absl::StrAppend(&script, "      elif [ \"$count\" -eq 0 ]; then\n        _mentorctl_words ",
                      Quoted(node.positionals[0]), "\n");
    }
    absl::StrAppend(&script, "      fi ;;\n");
  }
  absl::StrAppend(&script, "  esac\n}\n");
  return script;
}

// ---- fish: a line for each word.

std::string FishQuoted(const std::string& text) {
  return "'" + absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}) + "'";
}

std::string FishWords(const std::string& words) {
  if (words == "<files>") return " -F";
  if (words == "<folders>") return " -a '(__fish_complete_directories)'";
  if (words.starts_with("<ask ")) {
    return " -a '(__mentorctl_ask " + words.substr(5, words.size() - 6) + ")'";
  }
  return words.empty() ? "" : " -a " + FishQuoted(words);
}

std::string FishScript(const std::vector<Node>& nodes) {
  std::string script =
      "# fish completion of mentorctl; made by 'mentorctl completion fish'.\n"
      "# Use it now: mentorctl completion fish | source\n\n"
      "function __mentorctl_ask\n"
      "  mentorctl __complete $argv[1] (commandline -ct) 2>/dev/null\nend\n"
      "# The verbs among the words before the cursor are those of the argument.\n"
      "function __mentorctl_at\n"
      "  set -l verbs\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    string match -q -- '-*' $word; or set -a verbs $word\n"
      "  end\n"
      "  test (count $verbs) -ge (count $argv); or return 1\n"
      "  for i in (seq (count $argv))\n"
      "    test \"$verbs[$i]\" = \"$argv[$i]\"; or return 1\n"
      "  end\nend\n"
      "function __mentorctl_verb_missing\n"
      "  set -l verbs\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    string match -q -- '-*' $word; or set -a verbs $word\n"
      "  end\n"
      "  test (count $verbs) -eq $argv[1]\nend\n\n"
      "complete -c mentorctl -f\n";
  for (const Node& node : nodes) {
    const std::string at = node.path.empty() ? "" : "__mentorctl_at " + node.path;
    for (const std::string& verb : node.verbs) {
      const std::string condition = node.path.empty() ? "__mentorctl_verb_missing 0"
                                                      : at + "; and __mentorctl_verb_missing 1";
      absl::StrAppend(&script, "complete -c mentorctl -n ", FishQuoted(condition), " -a ", verb,
                      " -d ", FishQuoted(node.help.at(verb)), "\n");
    }
    for (const Node::Flag& flag : node.flags) {
      absl::StrAppend(&script, "complete -c mentorctl");
      if (!at.empty()) absl::StrAppend(&script, " -n ", FishQuoted(at));
      for (const std::string& spelling : flag.spellings) {
        if (spelling.starts_with("--")) {
          absl::StrAppend(&script, " -l ", spelling.substr(2));
        } else {
          absl::StrAppend(&script, " -s ", spelling.substr(1));
        }
      }
      if (flag.takes_value) absl::StrAppend(&script, " -r", FishWords(flag.words));
      absl::StrAppend(&script, " -d ", FishQuoted(flag.help), "\n");
    }
    if (!node.positionals.empty() && !node.positionals[0].empty() && !at.empty()) {
      absl::StrAppend(&script, "complete -c mentorctl -n ", FishQuoted(at),
                      FishWords(node.positionals[0]), "\n");
    }
  }
  return script;
}

// ---- The manual.

// "  -f, --file=FILE  description", the form that help2man takes for an option.
std::string ManualFlag(const CLI::Option& option) {
  std::vector<std::string> spellings;
  for (const std::string& name : option.get_snames()) spellings.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) spellings.push_back("--" + name);
  std::string line = "  " + absl::StrJoin(spellings, ", ");
  const bool takes_value = option.get_expected_max() > 0 && option.get_type_size() != 0;
  if (takes_value && !TypeOf(option).empty()) absl::StrAppend(&line, "=", TypeOf(option));
  absl::StrAppend(&line, "  ", option.get_description());
  const std::string& otherwise = option.get_default_str();
  if (!otherwise.empty()) absl::StrAppend(&line, "; default ", otherwise);
  return line + "\n";
}

// "Examples:" and lines with a margin become commands behind a prompt, which help2man leaves alone.
std::string ManualExamples(const CLI::App& command) {
  std::string text;
  for (const absl::string_view line : absl::StrSplit(command.get_footer(), '\n')) {
    if (line.empty()) break;
    if (absl::StartsWith(line, "  ")) absl::StrAppend(&text, "  $ ", line.substr(2), "\n");
  }
  return text;
}

std::string UsageOf(const CLI::App& command, const std::string& path) {
  std::string usage = path;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) continue;
    std::string word = absl::AsciiStrToUpper(option->get_name(true));
    if (option->get_expected_max() > 1) word += "...";
    absl::StrAppend(&usage, " ", option->get_required() ? word : "[" + word + "]");
  }
  return usage;
}

void AddManual(const CLI::App& command, const std::string& path, std::string* text) {
  for (const CLI::App* below : command.get_subcommands({})) {
    if (Hidden(*below)) continue;
    const std::string own = path.empty() ? below->get_name() : path + " " + below->get_name();
    if (!below->get_subcommands({}).empty()) {
      AddManual(*below, own, text);
      continue;
    }
    absl::StrAppend(text, "\n*", own, "*\n\nmentorctl ", UsageOf(*below, own), "\n\n",
                    below->get_description(), ".\n\n");
    for (const CLI::Option* option : below->get_options()) {
      if (!option->get_positional() && option != below->get_help_ptr()) {
        absl::StrAppend(text, ManualFlag(*option));
      }
    }
    for (const CLI::Option* option : below->get_options()) {
      if (!option->get_positional()) continue;
      absl::StrAppend(text, "\n", absl::AsciiStrToUpper(option->get_name(true)), ": ",
                      option->get_description(), ".\n");
    }
    absl::StrAppend(text, "\n", ManualExamples(*below), "\n");
  }
}

}  // namespace

std::string CompletionScript(const CLI::App& root, Shell shell) {
  std::vector<Node> nodes;
  Walk(root, "", &nodes);
  switch (shell) {
    case Shell::kBash:
      return std::string(kBashHead) + BashFunctions(nodes) + kBashTail;
    case Shell::kZsh:
      // zsh runs bash completions.
      return kZshHead + std::string(kBashHead) + BashFunctions(nodes) + kBashTail;
    case Shell::kFish:
      break;
  }
  return FishScript(nodes);
}

std::string ManualText(const CLI::App& root) {
  std::string text = absl::StrCat("Usage: mentorctl [OPTION]... VERB [ARGUMENT]...\n\n",
                                  root.get_description(), "\n\nOptions:\n");
  for (const CLI::Option* option : root.get_options()) absl::StrAppend(&text, ManualFlag(*option));
  AddManual(root, "", &text);
  absl::StrAppend(&text, "\n*Exit status*\n\n");
  for (const auto& [code, meaning] : kExitMeanings) {
    absl::StrAppend(&text, "  ", code, "  ", std::string(meaning), "\n");
  }
  absl::StrAppend(&text, "\nExamples:\n", ManualExamples(root));
  return text;
}

namespace {

// Names for the completion: silent, and within a second.
int CompleteNames(Session& session, const std::string& kind, const std::string& prefix) {
  if (kind == "contexts") {
    for (const auto& context : session.settings.config().context()) {
      if (absl::StartsWith(context.name(), prefix)) std::printf("%s\n", context.name().c_str());
    }
    return kOk;
  }
  const auto token = session.settings.Token();
  if (!token.ok()) return kOk;
  const auto client = Client::Make({.server = session.settings.server(),
                                    .tls = session.settings.tls(),
                                    .token = *token,
                                    .allow_insecure = session.settings.allow_insecure(),
                                    .timeout_s = 1});
  if (!client.ok()) return kOk;
  const auto print = [&](const std::string& name) {
    if (absl::StartsWith(name, prefix)) std::printf("%s\n", name.c_str());
  };
  // "first/ch" asks for the checkpoints of first.
  const std::string experiment = prefix.substr(0, prefix.find('/'));
  if (kind == "checkpoints" && experiment.size() < prefix.size()) {
    v1::ListCheckpointsRequest request;
    request.set_parent(FullName(experiment));
    ListAll(client->get(), request, [&](const v1::ListCheckpointsResponse& page) {
      for (const auto& checkpoint : page.checkpoints()) print(ShortName(checkpoint.name()));
      return false;
    }).IgnoreError();
  } else if (kind == "experiments" || kind == "checkpoints") {
    v1::ListExperimentsRequest request;
    request.set_page_size(1000);
    ListAll(client->get(), request, [&](const v1::ListExperimentsResponse& page) {
      for (const auto& one : page.experiments()) {
        print(prefix.starts_with("experiments/") ? one.name() : ShortName(one.name()));
      }
      return false;
    }).IgnoreError();
  } else if (kind == "peers") {
    const auto peers = (*client)->Call(&Stub::ListPeers, v1::ListPeersRequest());
    if (!peers.ok()) return kOk;
    for (const auto& peer : peers->peers()) print(peer.name());
  }
  return kOk;
}

}  // namespace

void AddCompletionVerbs(Commands* commands) {
  {
    const auto shell = std::make_shared<std::string>();
    CLI::App* command = commands->AddLocal(
        kClientGroup, "completion", "The completion script of a shell",
        "source <(mentorctl completion bash)\n"
        "mentorctl completion bash > ~/.local/share/bash-completion/completions/mentorctl\n"
        "mentorctl completion fish > ~/.config/fish/completions/mentorctl.fish",
        [=](Session&) {
          const Shell which = *shell == "bash"  ? Shell::kBash
                              : *shell == "zsh" ? Shell::kZsh
                                                : Shell::kFish;
          std::printf("%s", CompletionScript(commands->root(), which).c_str());
          return static_cast<int>(kOk);
        });
    command->add_option("shell", *shell, "bash, zsh or fish")
        ->type_name("SHELL")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  }
  {
    const auto kind = std::make_shared<std::string>();
    const auto prefix = std::make_shared<std::string>();
    CLI::App* command = commands->AddLocal(
        "", "__complete", "Names for the completion", "",
        [=](Session& session) { return CompleteNames(session, *kind, *prefix); });
    command->add_option("kind", *kind)->required();
    command->add_option("prefix", *prefix);
  }
  commands->AddLocal("", "__man", "Text of the manual page", "", [=](Session&) {
    std::printf("%s", ManualText(commands->root()).c_str());
    return static_cast<int>(kOk);
  });
}

}  // namespace mentor::ctl
