// Another program, run as a child of this process: Python, ffmpeg, the simulator of an
// environment. The child reads nothing or one of our descriptors, and has no signal blocked. For
// one thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <sys/types.h>

namespace mentor {

class ChildProcess {
 public:
  struct Options {
    std::vector<std::string> command;    // A program, looked up in PATH, and its arguments.
    std::filesystem::path folder = ".";  // Working folder.
    int input = -1;                      // Descriptor for its stdin; negative: /dev/null.
    int output = -1;  // Descriptor for its stdout and stderr; negative: /dev/null.
    int errors = -1;  // Descriptor for its stderr; negative: as its stdout.
    // Own process group: killed as a whole, and not hit by a terminal's Ctrl-C.
    bool group = false;
    // Becomes its descriptor 3, and no other is then inherited; negative: none.
    int socket = -1;
    // Its environment, as "NAME=VALUE"; absent: the environment of this process.
    std::optional<std::vector<std::string>> variables = {};
  };
  // NOT_FOUND if there is no such program. By default numbers have decimal points, whatever the
  // user's locale.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const Options& options);
  // Kills a child that Wait was not called for.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Descriptor that becomes readable when the child ends; negative if the kernel has no pidfds.
  int handle() const { return handle_; }
  // Waits until the child ends, and kills the rest of its group. Returns its exit status, or 128 +
  // n if signal n ended it. Call at most once.
  absl::StatusOr<int> Wait();
  // Like Wait(); kills the child if it has not ended within the limit.
  absl::StatusOr<int> Wait(std::chrono::milliseconds limit);

 private:
  ChildProcess(pid_t id, bool group);
  void Kill();

  pid_t id_;  // 0 after Wait.
  const bool group_;
  const int handle_;
};

}  // namespace mentor
