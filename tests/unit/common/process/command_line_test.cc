// The program's answers to a wrong command line.
#include "common/process/command_line.h"

#include <sstream>

#include "common/file.h"
#include "common/process/completion.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;

struct Answer {
  std::optional<int> code;
  std::string out, err;
  int threads = 0;
  double share = 0;
  std::string kind, server;
};

// A program with one command, one noun and a flag of its own.
Answer Type(std::vector<std::string> words) {
  CLI::App app("Does things.");
  Answer answer;
  app.require_subcommand(1);
  app.fallthrough();
  AddVersionFlag(&app, "with parts");
  std::string path;
  app.add_option("--server", answer.server, "Where")
      ->transform(Addresses(rpc::AddressOf::kPeer, 2));
  CLI::App* run = app.add_subcommand("run", "Run a thing");
  AddVersionFlag(run);
  run->add_option("SPEC", path, "A file")->required();
  run->add_option("--num_threads", answer.threads, "How many");
  CLI::App* env = app.add_subcommand("env", "Things around")->require_subcommand(1);
  CLI::App* show = env->add_subcommand("show", "Show one");
  show->add_option("--kind", answer.kind, "Which")->check(OneOf({"small", "large"}));
  show->add_option("--share", answer.share, "How much")->check(NumberIn(0, 1));
  env->add_subcommand("list", "Show all");

  std::vector<const char*> argv = {"/somewhere/tool"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  const testing::TempFolder folder;
  const std::string err = (folder.path() / "err").string();
  std::fflush(stderr);
  const int kept = dup(STDERR_FILENO);
  REQUIRE(std::freopen(err.c_str(), "w", stderr) != nullptr);
  std::ostringstream out;
  std::streambuf* const before = std::cout.rdbuf(out.rdbuf());
  answer.code = ParseCommandLine(&app, static_cast<int>(argv.size()), argv.data());
  std::cout.rdbuf(before);
  std::fflush(stderr);
  dup2(kept, STDERR_FILENO);
  close(kept);
  answer.out = out.str();
  answer.err = *ReadFile(err, 1 << 20);
  return answer;
}

std::string Error(std::vector<std::string> words) {
  const Answer answer = Type(std::move(words));
  CHECK(answer.code == 2);
  CHECK(answer.out.empty());
  return answer.err;
}

TEST_CASE("command line: a number is within its range, and NaN is in none", "[unit]") {
  for (const char* number : {"0", "0.5", "1"})
    CHECK_FALSE(Type({"env", "show", "--share", number}).code.has_value());
  for (const char* number : {"nan", "NaN", "-nan", "inf", "-inf", "-0.1", "1.1", "x"}) {
    INFO(number);
    CHECK(Contains(Error({"env", "show", std::string("--share=") + number}), "--share"));
  }
}

TEST_CASE("command line: addresses are read once, and a wrong one is named with its flag",
          "[unit]") {
  const Answer answer = Type({"env", "list", "--server", " [::1]:5 ,dns:///lab:6"});
  CHECK_FALSE(answer.code.has_value());
  CHECK(answer.server == "[::1]:5,dns:///lab:6");
  for (const char* wrong : {"lab", "lab:70000", "a:1,", "a:1,b:2,c:3"}) {
    INFO(wrong);
    CHECK(Contains(Error({"env", "list", std::string("--server=") + wrong}), "--server: "));
  }
}

TEST_CASE("command line: a wrong command is answered with the nearest", "[unit]") {
  CHECK(Error({"rnu", "a.txt", "--num_threads", "2"}) ==
        "error: there is no 'rnu'; did you mean 'run'?\n'tool --help' says more.\n");
  CHECK(Error({"env", "shwo"}) ==
        "error: there is no 'env shwo'; did you mean 'show'?\n'tool env --help' says more.\n");
  CHECK(Contains(Error({"hlep"}), "did you mean 'help'?"));
  CHECK(Contains(Error({"xyz"}), "there is no 'xyz'; known: run, env, help\n"));
}

TEST_CASE("command line: a wrong flag is answered with the nearest, and not backwards", "[unit]") {
  CHECK(Error({"run", "a.txt", "--num_theads", "3"}) ==
        "error: 'tool run' has no flag '--num_theads'; did you mean '--num_threads'?\n"
        "'tool run --help' says more.\n");
  // Also where it took the place of a required argument.
  CHECK(Contains(Error({"run", "--sever=x"}), "no flag '--sever'; did you mean '--server'?"));
  CHECK(Contains(Error({"run", "a.txt", "--zzzzzzzz"}), "'tool run' has no flag '--zzzzzzzz'\n"));
  CHECK(Contains(Error({"run", "a.txt", "-x"}), "'tool run' has no flag '-x'\n"));
  CHECK(Contains(Error({"--num_threads", "3", "run", "a.txt"}), "write it behind that"));
}

TEST_CASE("command line: values and arguments", "[unit]") {
  CHECK(Contains(Error({"env", "show", "--kind", "smal"}),
                 "--kind: 'smal' is none of small, large; did you mean 'small'?"));
  CHECK(Contains(Error({"run"}), "error: SPEC is required\n"));
  CHECK(Contains(Error({"run", "a.txt", "b.txt"}), "does not know what to do with 'b.txt'"));
  CHECK(Contains(Error({"run", "a.txt", "--num_threads"}), "--num_threads needs a value\n"));
  CHECK(Contains(Error({"run", "a.txt", "--num_threads", "x"}),
                 "--num_threads: 'x' is not a number\n"));
  CHECK(Contains(Error({"run", "a.txt", "--num_threads", "99999999999"}),
                 "--num_threads: '99999999999' is too large\n"));
  CHECK(Contains(Error({"run", "a.txt", "--num_threads", "1.5"}),
                 "--num_threads: '1.5' is not a whole number\n"));
  const Answer answer = Type({"run", "a.txt", "--num-threads=3"});
  CHECK_FALSE(answer.code.has_value());
  CHECK(answer.threads == 3);
}

TEST_CASE("command line: help in every way in which it is asked for", "[unit]") {
  for (const auto& words : std::vector<std::vector<std::string>>{{"help"}, {"--help"}}) {
    const Answer answer = Type(words);
    CHECK(answer.code == 0);
    CHECK(Contains(answer.out, "Does things."));
    CHECK(Contains(answer.out, "Usage: tool "));
  }
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"help", "env", "show"}, {"env", "show", "--help"}, {"help", "env", "show", "--help"}}) {
    const Answer answer = Type(words);
    CHECK(answer.code == 0);
    CHECK(Contains(answer.out, "--kind"));
  }
  CHECK(Contains(Error({"help", "env", "shwo"}), "there is no 'env shwo'; did you mean 'show'?"));
  // With nothing: the same, as an error.
  CHECK(Contains(Error({}), "Does things."));
  CHECK(Contains(Error({"env"}), "Show one"));
}

TEST_CASE("command line: the version is said with the program's name and parts", "[unit]") {
  for (const auto& words :
       std::vector<std::vector<std::string>>{{"--version"}, {"run", "--version"}}) {
    const Answer answer = Type(words);
    CHECK(answer.code == 0);
    CHECK(answer.out.starts_with("tool "));
    CHECK(answer.out.ends_with("\nwith parts\n"));
  }
}

}  // namespace mentor::TEST_FILE
