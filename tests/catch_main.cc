// The main function of every test program. `--write-ctest FILE` writes its test files as tests of
// ctest; their names begin with the folder of the file, as in "unit/common/rpc: ". Cases that take
// long are tests of their own.
#define CATCH_CONFIG_RUNNER
#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include <catch2/catch.hpp>

namespace {

// The path of a file below tests/ without its ending, such as unit/common/rpc/auth_test.
std::string Stem(const std::string& file) {
  const size_t begin = file.rfind("tests/") + 6;
  return file.substr(begin, file.rfind('.') - begin);
}

// A name as the command line of Catch2 reads it.
std::string Escaped(const std::string& name) {
  std::string escaped;
  for (const char c : name) {
    if (c == ',' || c == '[' || c == ']' || c == '\\') {
      escaped += '\\';
    }
    escaped += c;
  }
  return escaped;
}

int WriteCtest(Catch::Session& session, const std::string& program, const std::string& list) {
  std::map<std::string, std::string> cases;  // Tests of ctest: the test cases that each runs.
  std::set<std::string> nightly;
  for (const Catch::TestCase& test : Catch::getAllTestCasesSorted(session.config())) {
    if (test.isHidden()) {
      continue;
    }
    const std::string stem = Stem(test.lineInfo.file);
    const size_t slash = stem.rfind('/');
    const std::string kind = stem.substr(0, stem.find('/'));
    const bool at_night =
        std::find(test.tags.begin(), test.tags.end(), "nightly") != test.tags.end();
    const bool alone = at_night || kind == "conformance" || kind == "learning" || kind == "fuzz";
    const std::string name =
        stem.substr(0, slash) + ": " + (alone ? test.name : stem.substr(slash + 1));
    std::string& run = cases[name];
    run += (run.empty() ? "" : ",") + Escaped(test.name);
    if (at_night) nightly.insert(name);
  }
  std::ofstream out(list);
  for (const auto& [name, run] : cases) {
    const std::string kind = name.substr(0, name.find_first_of("/:"));
    const bool learns = kind == "learning";
    const bool slow = learns || kind == "conformance" || name.starts_with("loopback/cli/local:");
    const char* const tier = slow ? ";slow" : "";
    // The longest begin first where no earlier run tells which these are. A skip is
    // WARN("skipped: why") and a good end, since Catch2 v2 has no other word for it.
    out << "add_test([==[" << name << "]==] [==[" << program << "]==] [==[" << run
        << "]==])\nset_tests_properties([==[" << name << "]==] PROPERTIES LABELS \"" << kind
        << (nightly.contains(name) ? ";nightly" : tier) << "\" COST " << (learns ? 100 : 0)
        << " TIMEOUT 900 SKIP_REGULAR_EXPRESSION "
        << "[==[skipped: .*(All tests passed|test cases: 1 . 1 passed)]==])\n";
  }
  return out.flush().good() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Catch::Session session;
  std::string list;
  session.cli(session.cli() |
              Catch::clara::Opt(list, "file")["--write-ctest"]("write the tests for ctest"));
  if (const int status = session.applyCommandLine(argc, argv); status != 0) {
    return status;
  }
  return list.empty() ? session.run() : WriteCtest(session, argv[0], list);
}
