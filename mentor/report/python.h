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

// Returns the command that runs a text of Python with these arguments.
std::vector<std::string> PythonCommand(const std::string& text,
                                       const std::vector<std::string>& arguments);
// NOT_FOUND: there is no interpreter. `package` is to be installed in it.
absl::Status NoPython(const std::string& package);

}  // namespace mentor::report
