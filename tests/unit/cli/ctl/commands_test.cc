#include "cli/ctl/commands.h"

#include <algorithm>
#include <set>
#include <sstream>

#include <CLI/CLI.hpp>
#include <absl/strings/ascii.h>

#include "common/file.h"
#include "common/process/completion.h"
#include "common/spec/overrides.h"
#include "tests/paths.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using namespace mentor::ctl;
using mentor::testing::Contains;

void ForEachVerb(CLI::App* command, const std::function<void(CLI::App*)>& visit) {
  for (CLI::App* below : command->get_subcommands({})) {
    if (below->get_name().starts_with("__")) continue;
    visit(below);
    ForEachVerb(below, visit);
  }
}

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
        // Both spellings are accepted, so a name must not have both.
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
      // Returns one command, without comment, redirection and surrounding syntax.
      if (const size_t inner = line.find("$("); inner != std::string::npos) line[inner] = 'x';
      line = line.substr(0, line.find_first_of("#>|()"));
      INFO(verb->get_name() + ": " + line);
      auto fresh = MakeCommands();
      CHECK_NOTHROW(fresh->root().parse(line, false));
    }
  });
}

TEST_CASE("commands: examples name fields of specs and metrics that there are", "[unit]") {
  const std::string declared =
      *ReadFile(testing::SourcePath("tests/data/experiment_metrics.txt"), 1 << 20);
  const auto is_metric = [&](std::string name) {
    while (!name.empty() && absl::ascii_isdigit(name.back())) name.pop_back();
    return Contains(declared, " " + name + " ") || Contains(declared, " " + name + "* ");
  };
  REQUIRE(is_metric("meta_return"));
  REQUIRE(is_metric("seg2"));
  REQUIRE_FALSE(is_metric("no_such"));
  const auto commands = MakeCommands();
  int fields = 0, metrics = 0;
  ForEachVerb(&commands->root(), [&](CLI::App* verb) {
    std::istringstream lines(verb->get_footer());
    for (std::string line; std::getline(lines, line);) {
      INFO(line);
      const std::string name = verb->get_name();
      std::istringstream words(line.substr(0, line.find_first_of("#$>")));
      std::string before;
      int position = 0;
      for (std::string word; words >> word; before = word, ++position) {
        if (before == "--set") {
          v1::ExperimentSpec spec;
          Violations violations;
          const std::string path = word.substr(word[0] == '\'' ? 1 : 0, word.find('='));
          spec::ApplyOverride(path.substr(0, path.find('=')) + "=1", &spec, &violations);
          const bool there = violations.empty() || !violations.list()[0].field.starts_with("--set");
          CHECK(there);
          ++fields;
        }
        // "mentorctl metrics NAME METRIC..."
        if (name == "metrics" && position > 2 && !word.starts_with("-") &&
            !before.starts_with("--")) {
          CHECK(is_metric(word));
          ++metrics;
        }
      }
    }
  });
  CHECK(fields > 5);
  CHECK(metrics >= 4);
}

TEST_CASE("commands: completion and manual have every verb", "[unit]") {
  const auto commands = MakeCommands();
  const std::string manual = ManualText(commands->root(), {.program = "mentorctl"});
  const auto no_names = [](std::string_view, const std::string&) {
    return std::vector<std::string>();
  };
  ForEachVerb(&commands->root(), [&](CLI::App* verb) {
    INFO(verb->get_name());
    std::vector<std::string> words = {verb->get_name()};
    if (verb->get_parent() != &commands->root()) {
      words.insert(words.begin(), verb->get_parent()->get_name());
    }
    const auto lines = Complete(&commands->root(), words, no_names);
    CHECK(std::count(lines.begin(), lines.end(),
                     verb->get_name() + "\t" + verb->get_description()) == 1);
    if (verb->get_subcommands({}).empty()) CHECK(Contains(manual, verb->get_name() + "*\n"));
  });
  CHECK(Complete(&commands->root(), {"__"}, no_names).empty());
}

TEST_CASE("completion: what the next word may be depends on those before it", "[unit]") {
  CLI::App root;
  std::string server, kind;
  bool loud = false;
  std::vector<std::string> names;
  root.add_option("--server", server, "Where")->type_name("HOST:PORT");
  root.add_flag("-l,--loud", loud, "Aloud");
  CLI::App* show = root.add_subcommand("show", "Show them");
  show->add_option("--sort_by", kind)->check(CLI::IsMember({"name", "number"}));
  show->add_option("--out", kind)->type_name("FILE");
  show->add_option("kind", kind)->type_name("KIND:{cat,dog}");
  show->add_option("names", names)->type_name("PET");
  std::string asked;
  using Lines = std::vector<std::string>;
  const auto complete = [&](const Lines& words) {
    return Complete(&root, words, [&](std::string_view type, const std::string&) {
      if (type != "PET") return Lines();
      asked = server;
      return Lines{"rex", "tom"};
    });
  };
  CHECK(complete({""}) == Lines{"show\tShow them"});
  CHECK(complete({"show", "--s"}) == Lines{"--server\tWhere", "--sort_by"});
  CHECK(complete({"show", "--sort-by", "nu"}) == Lines{"number"});
  CHECK(complete({"show", "--sort_by=nu"}) == Lines{"--sort_by=number"});
  CHECK(complete({"show", "--out", "x"}) == Lines{":files"});
  CHECK(complete({"show", ""}) == Lines{"cat", "dog"});
  CHECK(complete({"--loud", "show", "cat", "r"}) == Lines{"rex"});
  CHECK(loud);
  CHECK(complete({"show", "--server", "here:1", "cat", "rex", "t"}) == Lines{"tom"});
  CHECK(asked == "here:1");
  CHECK(complete({"show", "--", "-"}).empty());
  CHECK(complete({"show", "--none=x"}).empty());
}

}  // namespace mentor::TEST_FILE
