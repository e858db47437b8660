#include "cli/report/python.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <unistd.h>

#include "common/child_process.h"
#include "common/installed.h"

namespace mentor::report {
namespace {

constexpr int kNoInterpreter = 127;  // The exit status of env.
// Files of the working folder are nobody's modules.
constexpr char kOwnModules[] = R"(import sys
if sys.path[0] == "":
    del sys.path[0]
)";

// The value of PYTHONPATH: the folders of the packages and of their libraries, then the user's own.
std::string PythonPath() {
  const std::filesystem::path programs = ProgramFolder();
  std::vector<std::string> folders;
  // A build folder; a wheel; a clone with its libraries.
  for (const char* place : {"../python", "../..", "../../python", "../../.deps/report"}) {
    const std::filesystem::path folder = (programs / place).lexically_normal();
    std::error_code error;
    if (std::filesystem::exists(folder / "mentor/report/__init__.py", error) ||
        std::filesystem::exists(folder / "altair", error))
      folders.push_back(folder.string());
  }
  if (const char* own = std::getenv("PYTHONPATH"); own != nullptr && *own != '\0')
    folders.emplace_back(own);
  return absl::StrJoin(folders, ":");
}

std::string Interpreter() {
  const char* named = std::getenv("MENTOR_PYTHON");
  return named == nullptr || *named == '\0' ? "python3" : named;
}

}  // namespace

std::vector<std::string> ProgramFolders() {
  const char* path = std::getenv("PATH");
  std::vector<std::string> folders =
      absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty());
  const std::filesystem::path interpreter = Interpreter();
  if (interpreter.has_parent_path())
    folders.insert(folders.begin(), interpreter.parent_path().string());
  folders.insert(folders.begin(), ProgramFolder().string());
  return folders;
}

std::string FindProgram(const std::string& name) {
  for (const std::string& folder : ProgramFolders()) {
    std::string file = folder + "/" + name;
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

std::vector<std::string> SideCommand(const std::string& program,
                                     const std::vector<std::string>& arguments) {
  // setpriv and nice become the program itself and keep their settings.
  std::vector<std::string> command = {"setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--",
                                      "nice",    "-n",          "10",   program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

absl::StatusOr<int> RunPython(const std::string& text, const std::vector<std::string>& arguments,
                              const std::string& package, int output, int errors) {
  std::vector<std::string> command = {"env", absl::StrCat("PYTHONPATH=", PythonPath()),
                                      Interpreter(), "-c", absl::StrCat(kOwnModules, text)};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const auto child = ChildProcess::Start({.command = command, .output = output, .errors = errors});
  absl::StatusOr<int> code = kNoInterpreter;
  if (child.ok()) {
    code = (*child)->Wait();
  } else if (!absl::IsNotFound(child.status())) {
    return child.status();
  }
  if (!code.ok() || *code != kNoInterpreter) return code;
  return absl::NotFoundError(absl::StrCat("there is no program ", Interpreter(),
                                          ": install Python, and in it ", package,
                                          "; MENTOR_PYTHON names another interpreter"));
}

}  // namespace mentor::report
