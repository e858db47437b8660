// Runs one test case of this binary in a separate process, for tests that kill it.
#pragma once

#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mentor::testing {

// Returns the status of waitpid. `environment` is added to ours, without MENTOR_FAILPOINTS. Output
// goes to /dev/null.
inline int RunChild(const std::string& test_case,
                    const std::map<std::string, std::string>& environment) {
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) {
    unsetenv("MENTOR_FAILPOINTS");
    unsetenv("MENTOR_FAILPOINT_LOG");
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execl("/proc/self/exe", "test", test_case.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) throw std::runtime_error("cannot wait for the child");
  return status;
}

}  // namespace mentor::testing
