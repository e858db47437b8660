#include "common/process/completion.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>

namespace mentor {
namespace {

// PROGRAM is replaced by the program's name.
constexpr char kBash[] = R"sh(# bash completion of PROGRAM; made by 'PROGRAM completion bash'.
# Use it now: source <(PROGRAM completion bash)
_PROGRAM() {
  local begun="${COMP_WORDS[COMP_CWORD]#=}"
  local -a found
  mapfile -t found < <("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  case "${found[0]-}" in
    :files) mapfile -t COMPREPLY < <(compgen -f -- "$begun"); compopt -o filenames 2>/dev/null ;;
    :folders) mapfile -t COMPREPLY < <(compgen -d -- "$begun"); compopt -o filenames 2>/dev/null ;;
    *) COMPREPLY=("${found[@]%%$'\t'*}")
      # What follows '=' is a word of its own here.
      [[ "$COMP_WORDBREAKS" != *=* ]] || COMPREPLY=("${COMPREPLY[@]#--*=}") ;;
  esac
}
complete -F _PROGRAM PROGRAM
)sh";

constexpr char kZsh[] = R"sh(#compdef PROGRAM
# zsh completion of PROGRAM; made by 'PROGRAM completion zsh'.
# Use it now: source <(PROGRAM completion zsh)
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_PROGRAM() {
  local -a found
  found=("${(@f)$("$words[1]" __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  case "$found[1]" in
    :files) compset -P '--*='; _files ;;
    :folders) compset -P '--*='; _files -/ ;;
    ?*) found=("${(@)found//:/\\:}")
      found=("${(@)found/$'\t'/:}")
      _describe PROGRAM found ;;
  esac
}
compdef _PROGRAM PROGRAM
)sh";

constexpr char kFish[] = R"sh(# fish completion of PROGRAM; made by 'PROGRAM completion fish'.
# Use it now: PROGRAM completion fish | source
function __PROGRAM_words
  set -l words (commandline -opc)
  set -l begun (commandline -ct)
  set -l found (PROGRAM __complete -- $words[2..-1] "$begun" 2>/dev/null)
  switch "$found[1]"
    case :files
      __fish_complete_path "$begun"
    case :folders
      __fish_complete_directories "$begun"
    case '*'
      string join \n -- $found
  end
end
complete -c PROGRAM -f -a '(__PROGRAM_words)'
)sh";

// Joins words again, since bash splits HOST:PORT and --flag=value at ':' and '='.
std::vector<std::string> Whole(const std::vector<std::string>& words) {
  std::vector<std::string> whole;
  bool joins = false;
  for (const std::string& word : words) {
    const bool cut = !whole.empty() && (word == ":" || word == "=");
    if (!cut && !joins) whole.emplace_back();
    whole.back() += word;
    joins = cut;
  }
  return whole;
}

// Finds a flag of the verb or its ancestors; "--order-by" means "--order_by". Null if there is
// none.
CLI::Option* FindFlag(CLI::App* verb, std::string name) {
  if (name.size() > 2) std::replace(name.begin() + 2, name.end(), '-', '_');
  for (; verb != nullptr; verb = verb->get_parent()) {
    if (CLI::Option* flag = verb->get_option_no_throw(name)) return flag;
  }
  return nullptr;
}

// Returns the positional argument that follows `before` others; null if there is none.
const CLI::Option* PositionalAt(CLI::App* verb, int before) {
  for (const CLI::Option* option : verb->get_options()) {
    if (!option->get_positional()) continue;
    if (before < option->get_items_expected_max()) return option;
    before -= option->get_items_expected_max();
  }
  return nullptr;
}

void Store(CLI::Option* flag, const std::string& value) {
  try {
    flag->add_result(value);
    flag->run_callback();
  } catch (const CLI::Error&) {  // Parse errors are expected in an unfinished line.
  }
}

using Lines = std::map<std::string, std::string>;  // Help by word.

// The type consists of a name and checks: "EXPERIMENT", "KIND:{environment,rule}", "TEXT:FILE".
void AddValues(const CLI::Option& option, const std::string& begun, const NamesOf& names,
               Lines* lines) {
  const std::string type = option.get_type_name();
  for (const absl::string_view part : absl::StrSplit(type, ':')) {
    if (part == "FILE" || part == "DIR") {
      (*lines)[part == "FILE" ? ":files" : ":folders"];
    } else if (part.size() > 1 && part.front() == '{') {
      for (const absl::string_view word : absl::StrSplit(part.substr(1, part.size() - 2), ',')) {
        (*lines)[std::string(word)];
      }
    } else {
      for (const std::string& name : names({part.data(), part.size()}, begun)) (*lines)[name];
    }
  }
}

void AddFlags(const CLI::App* verb, Lines* lines) {
  for (; verb != nullptr; verb = verb->get_parent()) {
    for (const CLI::Option* option : verb->get_options()) {
      if (option->get_positional() || option->get_group().empty()) continue;
      const std::string& help = option->get_description();
      for (const auto& name : option->get_snames()) lines->try_emplace("-" + name, help);
      for (const auto& name : option->get_lnames()) lines->try_emplace("--" + name, help);
    }
  }
}

}  // namespace

std::vector<std::string> Complete(CLI::App* root, const std::vector<std::string>& words,
                                  const NamesOf& names) {
  std::vector<std::string> typed = Whole(words);
  if (typed.empty()) typed.emplace_back();
  std::string begun = typed.back();
  typed.pop_back();

  if (!typed.empty() && typed[0] == "help") typed.erase(typed.begin());

  CLI::App* verb = root;
  CLI::Option* flag = nullptr;  // The flag whose value comes next.
  int positionals = 0;
  bool flags_end = false;
  for (const std::string& word : typed) {
    if (flag != nullptr) {
      Store(std::exchange(flag, nullptr), word);
    } else if (word == "--") {
      flags_end = true;
    } else if (word.starts_with('-') && !flags_end) {
      const size_t equals = word.find('=');
      CLI::Option* const found = FindFlag(verb, word.substr(0, equals));
      if (found == nullptr) continue;
      if (equals != word.npos) {
        Store(found, word.substr(equals + 1));
      } else if (found->get_items_expected_max() == 0) {
        Store(found, "true");
      } else {
        flag = found;
      }
    } else {
      const auto below =
          verb->get_subcommands([&](CLI::App* one) { return one->check_name(word); });
      if (below.empty()) {
        ++positionals;
      } else {
        verb = below[0];
      }
    }
  }

  Lines lines;
  std::string before;  // "--output=" if the value is in the same word.
  const size_t equals = begun.find('=');
  if (flag == nullptr && !flags_end && begun.starts_with("--") && equals != begun.npos) {
    flag = FindFlag(verb, begun.substr(0, equals));
    if (flag == nullptr) return {};
    before = begun.substr(0, equals + 1);
    begun = begun.substr(equals + 1);
  }
  if (flag != nullptr) {
    AddValues(*flag, begun, names, &lines);
  } else if (begun.starts_with('-') && !flags_end) {
    AddFlags(verb, &lines);
  } else if (const auto below = verb->get_subcommands({}); !below.empty()) {
    for (const CLI::App* one : below) {
      if (!one->get_group().empty()) lines[one->get_name()] = one->get_description();
    }
  } else if (const CLI::Option* const option = PositionalAt(verb, positionals)) {
    AddValues(*option, begun, names, &lines);
  }

  std::vector<std::string> answer;
  for (const auto& [word, help] : lines) {
    if (word.starts_with(':')) {
      answer.push_back(word);
    } else if (word.starts_with(begun)) {
      answer.push_back(before + word + (help.empty() ? "" : "\t" + help));
    }
  }
  return answer;
}

std::string CompletionScript(const std::string& program, std::string_view shell) {
  const char* const script = shell == "bash" ? kBash : shell == "zsh" ? kZsh : kFish;
  return absl::StrReplaceAll(script, {{"PROGRAM", program}});
}

CLI::App* AddCompletionCommands(CLI::App* root, const std::string& program, const SetAction& set,
                                NamesOf names) {
  const auto shell = std::make_shared<std::string>();
  CLI::App* command = root->add_subcommand("completion", "Print the completion script of a shell");
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->type_name("SHELL")
      ->required()
      ->check(OneOf({"bash", "zsh", "fish"}));
  command->footer(absl::StrReplaceAll(
      "Examples:\n"
      "  source <(PROGRAM completion bash)\n"
      "  PROGRAM completion bash > ~/.local/share/bash-completion/completions/PROGRAM\n"
      "  PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish",
      {{"PROGRAM", program}}));
  set(command, [=] {
    std::printf("%s", CompletionScript(program, *shell).c_str());
    return 0;
  });
  const auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* hidden = root->add_subcommand("__complete", "What the last word may become")->group("");
  hidden->add_option("words", *words);
  set(hidden, [=] {
    // A tab separates a word from its help.
    for (const std::string& line : Complete(root, *words, names)) std::printf("%s\n", line.c_str());
    return 0;
  });
  return command;
}

}  // namespace mentor
