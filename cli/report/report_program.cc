#include "cli/report/report_program.h"

#include <cerrno>
#include <cstdio>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "cli/report/python.h"
#include "cli/report/records.h"
#include "common/check.h"
#include "common/file.h"

namespace mentor::report {
namespace {

// What the program ends with where a library is missing (python/mentor/report/__main__.py).
constexpr int kNoLibrary = 4;
constexpr char kPackage[] = "mentor[report]";
constexpr uint64_t kOutcomeBytesMax = uint64_t{16} << 20;

// A Python without the package says so as one without its libraries does.
constexpr char kStart[] = R"(try:
    from mentor.report.__main__ import start
except ModuleNotFoundError as missing:
    print(f"error: a report needs the Python package mentor.report, and {sys.executable} has no "
          f"{missing.name}: install the wheel of Mentor's programs, or name another interpreter in "
          "MENTOR_PYTHON", file=sys.stderr)
    sys.exit(4)
sys.exit(start())
)";

absl::StatusOr<Said> ReadSaid(const std::filesystem::path& file) {
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, kOutcomeBytesMax));
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("summary") || !json["summary"].is_array())
    return absl::UnavailableError(absl::StrCat(file.string(), " is not as written"));
  Said said;
  std::vector<std::string> lines;
  for (const auto& line : json["summary"])
    if (line.is_string()) lines.push_back(line.get<std::string>());
  said.summary = absl::StrJoin(lines, "\n");
  const auto next = json.find("next");
  if (next != json.end() && next->is_array() && !next->empty() && next->front().is_object())
    said.next = next->front().value("command", "");
  const auto warnings = json.find("warnings");
  if (warnings == json.end() || !warnings->is_array()) return said;
  for (const auto& warning : *warnings)
    if (warning.is_string()) said.warnings.push_back(warning.get<std::string>());
  return said;
}

}  // namespace

absl::StatusOr<int> RunReportProgram(const std::vector<std::string>& arguments) {
  std::fflush(nullptr);
  return RunPython(kStart, arguments, kPackage, STDOUT_FILENO, STDERR_FILENO);
}

absl::StatusOr<Said> DrawReport(const std::filesystem::path& run) {
  const std::filesystem::path log = run / kRecordsFolder / "report.log";
  const OpenedFile output = OpenFile(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (output.get() < 0) return FileError("writing", log, errno);
  MENTOR_ASSIGN_OR_RETURN(const int code,
                          RunPython(kStart, {run.string()}, kPackage, output.get(), output.get()));
  if (code == 0) return ReadSaid(run / "report" / "outcome.json");
  const auto said = ReadFile(log, kOutcomeBytesMax);
  std::string words = said.ok() ? *said : std::string(said.status().message());
  absl::StripAsciiWhitespace(&words);
  if (words.starts_with("error: ")) words.erase(0, sizeof("error: ") - 1);
  return code == kNoLibrary ? absl::NotFoundError(words) : absl::UnavailableError(words);
}

}  // namespace mentor::report
