// Commands that run our packages in Python. The variable MENTOR_PYTHON names the interpreter;
// default: python3. The packages and their libraries are looked for beside this program, too: in a
// build folder, in a clone, and where a wheel was installed. Functions without state.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>

namespace mentor::report {

// The exit status of PythonCommand where there is no interpreter.
inline constexpr int kNoPython = 127;

// Returns the path of a program that pip installs, such as mentor-sync: beside this program, beside
// the interpreter that MENTOR_PYTHON names, or in PATH. Empty if there is none.
std::string FindProgram(const std::string& name);
// The folders of PATH, after those where FindProgram looks first.
std::vector<std::string> ProgramFolders();
// Returns the command of a program that serves this process at low priority and is killed with it.
std::vector<std::string> SideCommand(const std::string& program,
                                     const std::vector<std::string>& arguments);

// Returns the command that runs a text of Python with these arguments.
std::vector<std::string> PythonCommand(const std::string& text,
                                       const std::vector<std::string>& arguments);
// NOT_FOUND: there is no interpreter. `package` is to be installed in it.
absl::Status NoPython(const std::string& package);

}  // namespace mentor::report
