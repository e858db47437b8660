#include "mentor/report/gnuplot.h"

#include <cerrno>

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/check.h"
#include "common/child_process.h"
#include "common/file.h"

namespace mentor {
namespace {

constexpr size_t kLogBytesShown = 2000;

absl::Status NoGnuplot(const std::filesystem::path& program) {
  return absl::FailedPreconditionError(absl::StrFormat(
      "cannot run '%s' to draw the plots: not found; install it (apt-get install gnuplot-nox)",
      program.string()));
}

}  // namespace

absl::Status RunGnuplot(const std::filesystem::path& program, const std::filesystem::path& folder,
                        const std::string& script) {
  const std::filesystem::path log = folder / "gnuplot.log";
  const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (output < 0) return FileError("writing", log, errno);
  // -d ignores the user's own settings.
  const auto child = ChildProcess::Start(
      {.command = {program.string(), "-d", script}, .folder = folder, .output = output});
  close(output);
  if (absl::IsNotFound(child.status())) return NoGnuplot(program);
  MENTOR_RETURN_IF_ERROR(child.status());
  MENTOR_ASSIGN_OR_RETURN(const int code, (*child)->Wait());
  if (code == 0) return absl::OkStatus();
  if (code == 127) return NoGnuplot(program);
  const auto said = ReadFile(log, 1 << 20);
  return absl::InternalError(absl::StrFormat("gnuplot failed on %s: %s", (folder / script).string(),
                                             said.ok() ? said->substr(0, kLogBytesShown) : ""));
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

}  // namespace mentor
