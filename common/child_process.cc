#include "common/child_process.h"

#include <cerrno>
#include <cstring>
#include <string_view>

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace mentor {
namespace {

// Working folder, descriptors and signals of a child. Frees itself.
class SpawnSettings {
 public:
  explicit SpawnSettings(const ChildProcess::Options& options) : folder_(options.folder) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addchdir_np(&actions_, folder_.c_str());
    if (options.input >= 0) {
      posix_spawn_file_actions_adddup2(&actions_, options.input, 0);
    } else {
      posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0);
    }
    if (options.output >= 0) {
      posix_spawn_file_actions_adddup2(&actions_, options.output, 1);
    } else {
      posix_spawn_file_actions_addopen(&actions_, 1, "/dev/null", O_WRONLY, 0);
    }
    posix_spawn_file_actions_adddup2(&actions_, options.errors >= 0 ? options.errors : 1, 2);
    if (options.socket >= 0) {
      posix_spawn_file_actions_adddup2(&actions_, options.socket, 3);
      posix_spawn_file_actions_addclosefrom_np(&actions_, 4);
    }
    // The process blocks SIGTERM and SIGINT in all threads; the child must not inherit that.
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setpgroup(&attributes_, 0);
    const int group = options.group ? POSIX_SPAWN_SETPGROUP : 0;
    posix_spawnattr_setflags(&attributes_, static_cast<short>(POSIX_SPAWN_SETSIGMASK | group));
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  const std::filesystem::path folder_;
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Variables of this process, without the user's locale.
std::vector<std::string> OwnVariables() {
  std::vector<std::string> variables = {"LC_ALL=C.UTF-8"};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    if (!variable.starts_with("LC_") && !variable.starts_with("LANG="))
      variables.emplace_back(variable);
  }
  return variables;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const Options& options) {
  std::vector<std::string> variables = options.variables ? *options.variables : OwnVariables();
  std::vector<std::string> command = options.command;
  // The child changes its folder before it resolves a relative path.
  const std::filesystem::path program = command[0];
  if (program.has_parent_path()) command[0] = std::filesystem::absolute(program).string();

  const SpawnSettings settings(options);
  pid_t id = 0;
  const int error = posix_spawnp(&id, command[0].c_str(), settings.actions(), settings.attributes(),
                                 Pointers(command).data(), Pointers(variables).data());
  const std::string what = absl::StrFormat("cannot run '%s': %s", options.command[0],
                                           error == ENOENT ? "not found" : std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(what);
  if (error != 0) return absl::FailedPreconditionError(what);
  return std::unique_ptr<ChildProcess>(new ChildProcess(id, options.group));
}

ChildProcess::ChildProcess(pid_t id, bool group)
    : id_(id), group_(group), handle_(static_cast<int>(syscall(SYS_pidfd_open, id, 0))) {}

ChildProcess::~ChildProcess() {
  if (id_ != 0) {
    Kill();
    Wait().IgnoreError();
  }
  if (handle_ >= 0) close(handle_);
}

void ChildProcess::Kill() {
  kill(group_ ? -id_ : id_, SIGKILL);
}

absl::StatusOr<int> ChildProcess::Wait(std::chrono::milliseconds limit) {
  pollfd ended = {handle_, POLLIN, 0};
  const int timeout = static_cast<int>(limit.count());
  while (handle_ >= 0 && poll(&ended, 1, timeout) < 0 && errno == EINTR) {
  }
  if (handle_ >= 0 && ended.revents == 0) Kill();
  return Wait();
}

absl::StatusOr<int> ChildProcess::Wait() {
  if (group_) {
    // Killed before the child is reaped, while its process id cannot be reused.
    siginfo_t ended;
    while (waitid(P_PID, static_cast<id_t>(id_), &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    Kill();
  }
  int status = 0;
  while (waitpid(id_, &status, 0) < 0) {
    if (errno == EINTR) continue;
    id_ = 0;
    return absl::InternalError(absl::StrFormat("waiting for a child: %s", std::strerror(errno)));
  }
  id_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace mentor
