// Starts the program that draws reports from records (records.h) and says what a run has learned:
// Python with the package mentor.report (python.h). One thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::report {

// Runs the program with these arguments, on this process's stdout and stderr. Returns its exit
// status; NOT_FOUND where there is no Python.
absl::StatusOr<int> RunReportProgram(const std::vector<std::string>& arguments);

// What a report says, of RUN/report/outcome.json.
struct Said {
  std::string summary;    // Plain text, one line for each statement, the answer first.
  std::string next = {};  // A command where nothing was learned; empty otherwise.
  std::vector<std::string> warnings = {};
};
// Draws RUN/report.html from RUN/records. NOT_FOUND where Python or a library is missing: the
// message says how to get it. UNAVAILABLE has the program's own words.
absl::StatusOr<Said> DrawReport(const std::filesystem::path& run);

}  // namespace mentor::report
