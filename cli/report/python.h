// Runs our packages in Python. The variable MENTOR_PYTHON names the interpreter;
// default: python3. The packages and their libraries are looked for beside this program, too: in a
// build folder, in a clone, and where a wheel was installed. Functions without state.
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor::report {

// Returns the path of a program that pip installs, such as mentor-sync: beside this program, beside
// the interpreter that MENTOR_PYTHON names, or in PATH. Empty if there is none.
std::string FindProgram(const std::string& name);
// The folders of PATH, after those where FindProgram looks first.
std::vector<std::string> ProgramFolders();
// Returns the command of a program that serves this process at low priority and is killed with it.
std::vector<std::string> SideCommand(const std::string& program,
                                     const std::vector<std::string>& arguments);

// Runs a text of Python with these arguments, and its stdout and stderr on these descriptors.
// Returns its exit status. NOT_FOUND: there is no interpreter, in which `package` is to be
// installed.
absl::StatusOr<int> RunPython(const std::string& text, const std::vector<std::string>& arguments,
                              const std::string& package, int output, int errors);

}  // namespace mentor::report
