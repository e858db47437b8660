#include "mentor/report/gnuplot.h"

#include <cerrno>
#include <fstream>
#include <sstream>

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/check.h"
#include "common/child_process.h"
#include "common/file.h"

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

}  // namespace

absl::Status RunGnuplot(const std::filesystem::path& program, const std::filesystem::path& folder,
                        const std::string& script) {
  const std::filesystem::path log = folder / kLogName;
  const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (output < 0) return FileError("writing", log, errno);
  // -d: without the user's own settings.
  const auto child = ChildProcess::Start(
      {.command = {program.string(), "-d", script}, .folder = folder, .output = output});
  close(output);
  if (absl::IsNotFound(child.status())) return Missing(program);
  MENTOR_RETURN_IF_ERROR(child.status());
  MENTOR_ASSIGN_OR_RETURN(const int code, (*child)->Wait());
  if (code == 0) return absl::OkStatus();
  if (code == 127) return Missing(program);
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
