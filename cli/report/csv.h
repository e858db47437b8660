// CSV with a header (RFC 4180): writes lines, and reads a file. Functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor::report {

inline constexpr uint64_t kCsvBytesMax = uint64_t{16} << 20;

// Returns a line with its end; cells have quotes where they need them.
std::string CsvLine(const std::vector<std::string>& cells);
// Formats ten significant digits; empty when not finite.
std::string CsvNumber(double value);

struct CsvRow {
  int line = 1;                         // Number of its first line, from 1.
  std::vector<std::string> cells = {};  // Text without surrounding spaces.
};

struct CsvContent {
  CsvRow header;
  std::vector<CsvRow> rows;  // Each has as many cells as the header.

  // Returns the index of a column; nullopt when it does not exist.
  std::optional<size_t> Find(std::string_view column) const;
};

// Skips empty lines, lines that begin with #, and a byte order mark. INVALID_ARGUMENT has the form
// "FILE:LINE: " followed by the error.
absl::StatusOr<CsvContent> ParseCsv(std::string_view text, const std::string& file);

}  // namespace mentor::report
