#include "mentor/ctl/commands.h"

#include <set>

#include "mentor/ctl/completion.h"
#include "tests/testing.h"
#include "tests/text.h"

using namespace mentor;
using namespace mentor::ctl;
using mentor::testing::Contains;

namespace {

void ForEachVerb(CLI::App* command, const std::function<void(CLI::App*)>& visit) {
  for (CLI::App* below : command->get_subcommands({})) {
    if (below->get_name().starts_with("__")) continue;
    visit(below);
    ForEachVerb(below, visit);
  }
}

}  // namespace

TEST_CASE("commands: every verb has help, examples and described options", "[unit]") {
  const auto commands = MakeCommands();
  int verbs = 0;
  ForEachVerb(&commands->root(), [&](CLI::App* verb) {
    INFO(verb->get_name());
    ++verbs;
    CHECK(!verb->get_description().empty());
    CHECK(Contains(verb->get_footer(), "Examples:\n  "));
    CHECK(Contains(verb->get_footer(), "mentorctl"));
    std::set<std::string> spellings;
    for (const CLI::Option* option : verb->get_options()) {
      INFO(option->get_name());
      CHECK(!option->get_description().empty());
      for (const std::string& name : option->get_lnames()) {
        // Both spellings are taken, so a name has one of them only.
        CHECK(name.find('-') == std::string::npos);
        CHECK(spellings.insert(name).second);
      }
      if (option->get_type_size() != 0) CHECK(option->get_type_name() != "TEXT:TEXT");
    }
  });
  CHECK(verbs >= 32);
}

TEST_CASE("commands: examples name verbs and flags that there are", "[unit]") {
  const auto commands = MakeCommands();
  ForEachVerb(&commands->root(), [&](CLI::App* verb) {
    std::istringstream lines(verb->get_footer());
    for (std::string line; std::getline(lines, line);) {
      const size_t begin = line.find("mentorctl ");
      if (begin == std::string::npos) continue;
      line = line.substr(begin + 10);
      // One command, without comment, redirection and what it is part of.
      if (const size_t inner = line.find("$("); inner != std::string::npos) line[inner] = 'x';
      line = line.substr(0, line.find_first_of("#>|()"));
      INFO(verb->get_name() + ": " + line);
      auto fresh = MakeCommands();
      CHECK_NOTHROW(fresh->root().parse(line, false));
    }
  });
}

TEST_CASE("commands: completions and manual have every verb", "[unit]") {
  const auto commands = MakeCommands();
  const std::string manual = ManualText(commands->root());
  std::vector<std::string> scripts;
  for (const Shell shell : {Shell::kBash, Shell::kZsh, Shell::kFish}) {
    scripts.push_back(CompletionScript(commands->root(), shell));
  }
  ForEachVerb(&commands->root(), [&](CLI::App* verb) {
    INFO(verb->get_name());
    for (const std::string& script : scripts) CHECK(Contains(script, verb->get_name()));
    if (verb->get_subcommands({}).empty()) CHECK(Contains(manual, verb->get_name() + "*\n"));
  });
  CHECK(!Contains(scripts[0], "__man"));
}
