#include "mentor/report/gnuplot.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char** environ;

namespace mentor::report {
namespace {

constexpr char kLogName[] = "gnuplot.log";
constexpr size_t kLogBytesShown = 2000;

absl::Status Missing(const std::filesystem::path& program) {
  return absl::FailedPreconditionError(absl::StrFormat(
      "cannot run '%s' to draw the plots: not found; install it (apt-get install gnuplot-nox)",
      program.string()));
}

std::string ReadLog(const std::filesystem::path& folder) {
  std::ifstream file(folder / kLogName);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str().substr(0, kLogBytesShown);
}

// Settings of a spawn: working folder, no input, messages to a file, no signal blocked. Frees
// itself.
class SpawnSettings {
 public:
  explicit SpawnSettings(const std::filesystem::path& folder) : folder_(folder) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addchdir_np(&actions_, folder_.c_str());
    posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions_, 1, kLogName, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&actions_, 1, 2);
    // The process blocks SIGTERM and SIGINT in all threads; its child should not.
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK);
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

}  // namespace

absl::Status RunGnuplot(const std::filesystem::path& program, const std::filesystem::path& folder,
                        const std::string& script) {
  // Decimal points whatever the user's language; -d: without the user's own settings.
  std::vector<std::string> environment = {"LC_ALL=C.UTF-8"};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    if (!variable.starts_with("LC_") && !variable.starts_with("LANG="))
      environment.emplace_back(variable);
  }
  std::vector<char*> environment_pointers;
  for (std::string& variable : environment) environment_pointers.push_back(variable.data());
  environment_pointers.push_back(nullptr);

  // The child changes its folder before it looks for a path.
  const bool is_path = program.has_parent_path();
  std::string name = is_path ? std::filesystem::absolute(program).string() : program.string();
  std::string option = "-d", file = script;
  char* arguments[] = {name.data(), option.data(), file.data(), nullptr};
  const SpawnSettings settings(folder);
  pid_t child = 0;
  const int error = posix_spawnp(&child, name.c_str(), settings.actions(), settings.attributes(),
                                 arguments, environment_pointers.data());
  if (error == ENOENT) return Missing(program);
  if (error != 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("cannot run '%s': %s", name, std::strerror(error)));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR)
      return absl::InternalError(absl::StrFormat("waiting for gnuplot: %s", std::strerror(errno)));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return Missing(program);
  return absl::InternalError(
      absl::StrFormat("gnuplot failed on %s: %s", (folder / script).string(), ReadLog(folder)));
}

std::string GnuplotString(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'')
      quoted += "''";
    else
      quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return quoted + "'";
}

}  // namespace mentor::report
