// The records of a run, from which reports are drawn in Python: python/mentor/report/records.py
// says what is in each file. Functions without state; thread-safe for different folders.
#pragma once

#include <filesystem>

#include <absl/status/status.h>

#include "cli/report/report.h"

namespace mentor::report {

inline constexpr char kRecordsFolder[] = "records";  // In a run's folder.

// Writes all files below `folder`, run.json last: it counts the rows of the others.
absl::Status WriteRecords(const ReportData& data, const std::filesystem::path& folder);

}  // namespace mentor::report
