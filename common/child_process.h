// Another program, run as a child of this one: gnuplot, ffmpeg, the host of an environment. The
// child reads nothing or a descriptor of ours, and has no signal blocked. One thread.
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
    std::filesystem::path folder = ".";  // Where it works.
    int input = -1;                      // What it reads; negative: nothing.
    int output = -1;                     // Where what it says goes; negative: nowhere.
    bool group = false;  // Killed together with what it started; a terminal's Ctrl-C passes it by.
    // Its descriptor 3, beside which it then inherits no other; negative: none.
    int socket = -1;
    // All its variables, as "NAME=VALUE"; absent: those of this process.
    std::optional<std::vector<std::string>> variables = {};
  };
  // NOT_FOUND when there is no such program. Numbers have decimal points whatever the user's
  // language.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const Options& options);
  // Ends a child that nobody waited for.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // A descriptor that is readable when the child has ended; negative where the kernel has none.
  int handle() const { return handle_; }
  // Waits until the child ends, and kills what is left of its group. Returns its exit status;
  // 128 + n when signal n ended it. At most once.
  absl::StatusOr<int> Wait();
  // The same; kills it when it has not ended by then.
  absl::StatusOr<int> Wait(std::chrono::milliseconds limit);

 private:
  ChildProcess(pid_t id, bool group);
  void Kill();

  pid_t id_;  // 0: was waited for.
  const bool group_;
  const int handle_;
};

}  // namespace mentor
