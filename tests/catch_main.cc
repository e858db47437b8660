// The main function of every test binary. `--write-ctest FILE --kind KIND` writes the test cases as
// tests of ctest; their names begin with the folder of their file, as in "unit/common/rpc: ".
#define CATCH_CONFIG_RUNNER
#include <algorithm>
#include <fstream>
#include <string>

#include <catch2/catch.hpp>

namespace {

// The folder of a file below tests/, such as unit/common/rpc.
std::string Folder(const std::string& file, const std::string& kind) {
  const size_t begin = file.rfind("tests/" + kind + "/");
  if (begin == std::string::npos) {
    return kind;
  }
  return file.substr(begin + 6, file.rfind('/') - begin - 6);
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

int WriteCtest(Catch::Session& session, const std::string& program, const std::string& path,
               const std::string& kind) {
  std::ofstream out(path);
  const auto& tests = Catch::getAllTestCasesSorted(session.config());
  for (const Catch::TestCase& test : tests) {
    if (test.isHidden()) {
      continue;
    }
    const auto& tags = test.tags;
    const bool nightly = std::find(tags.begin(), tags.end(), "nightly") != tags.end();
    const std::string name = "[==[" + Folder(test.lineInfo.file, kind) + ": " + test.name + "]==]";
    // The longest begin first where no earlier run tells which these are. A skip is
    // WARN("skipped: why") and a good end, since Catch2 v2 has no other word for it.
    out << "add_test(" << name << " [==[" << program << "]==] [==[" << Escaped(test.name)
        << "]==])\nset_tests_properties(" << name << " PROPERTIES LABELS "
        << (nightly ? "nightly" : kind) << " COST " << (kind == "learning" ? 100 : 0)
        << " TIMEOUT 900 SKIP_REGULAR_EXPRESSION "
        << "[==[skipped: .*(All tests passed|test cases: 1 . 1 passed)]==])\n";
  }
  return out.flush().good() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Catch::Session session;
  std::string path, kind;
  session.cli(session.cli() |
              Catch::clara::Opt(path, "file")["--write-ctest"]("write the tests for ctest") |
              Catch::clara::Opt(kind, "kind")["--kind"]("the folder of the tests below tests/"));
  if (const int status = session.applyCommandLine(argc, argv); status != 0) {
    return status;
  }
  return path.empty() ? session.run() : WriteCtest(session, argv[0], path, kind);
}
