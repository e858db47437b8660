// The main function of every test binary. `--write-ctest FILE --kind KIND` writes the test cases as
// tests of ctest; their names begin with the folder of their file, as in "unit/common/rpc: ". With
// `--together` each file is a test, which runs its cases in one process.
#define CATCH_CONFIG_RUNNER
#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include <catch2/catch.hpp>

namespace {

// The path of a file below tests/ without its ending, such as unit/common/rpc/auth_test.
std::string Stem(const std::string& file, const std::string& kind) {
  const size_t begin = file.rfind("tests/" + kind + "/");
  return begin == std::string::npos ? kind + "/" + file
                                    : file.substr(begin + 6, file.rfind('.') - begin - 6);
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

struct CtestList {
  std::string path, kind;
  bool together = false;
};

int WriteCtest(Catch::Session& session, const std::string& program, const CtestList& list) {
  std::map<std::string, std::string> cases;  // Tests of ctest: the test cases that each runs.
  std::set<std::string> nightly;
  for (const Catch::TestCase& test : Catch::getAllTestCasesSorted(session.config())) {
    if (test.isHidden()) {
      continue;
    }
    const std::string stem = Stem(test.lineInfo.file, list.kind);
    const size_t slash = stem.rfind('/');
    const std::string name =
        stem.substr(0, slash) + ": " + (list.together ? stem.substr(slash + 1) : test.name);
    std::string& run = cases[name];
    run += (run.empty() ? "" : ",") + Escaped(test.name);
    if (std::find(test.tags.begin(), test.tags.end(), "nightly") != test.tags.end()) {
      nightly.insert(name);
    }
  }
  const bool learns = list.kind == "learning";
  const char* const tier = learns ? ";slow" : "";
  std::ofstream out(list.path);
  for (const auto& [name, run] : cases) {
    // The longest begin first where no earlier run tells which these are. A skip is
    // WARN("skipped: why") and a good end, since Catch2 v2 has no other word for it.
    out << "add_test([==[" << name << "]==] [==[" << program << "]==] [==[" << run
        << "]==])\nset_tests_properties([==[" << name << "]==] PROPERTIES LABELS \"" << list.kind
        << (nightly.contains(name) ? ";nightly" : tier) << "\" COST " << (learns ? 100 : 0)
        << " TIMEOUT 900 SKIP_REGULAR_EXPRESSION "
        << "[==[skipped: .*(All tests passed|test cases: 1 . 1 passed)]==])\n";
  }
  return out.flush().good() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Catch::Session session;
  CtestList list;
  session.cli(
      session.cli() |
      Catch::clara::Opt(list.path, "file")["--write-ctest"]("write the tests for ctest") |
      Catch::clara::Opt(list.kind, "kind")["--kind"]("the folder of the tests below tests/") |
      Catch::clara::Opt(list.together)["--together"]("one test of ctest for each file"));
  if (const int status = session.applyCommandLine(argc, argv); status != 0) {
    return status;
  }
  return list.path.empty() ? session.run() : WriteCtest(session, argv[0], list);
}
