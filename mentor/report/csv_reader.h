// Reads a CSV file with a header (RFC 4180). Cells are text without the spaces around them; who
// wants numbers converts them. Functions without state.
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

struct CsvRow {
  int line = 1;  // On which it begins, from 1.
  std::vector<std::string> cells = {};
};

struct CsvContent {
  CsvRow header;
  std::vector<CsvRow> rows;  // With as many cells as the header.

  // Place of a column; nothing: there is none.
  std::optional<size_t> Find(std::string_view column) const;
};

// Empty lines and lines that begin with # are skipped, as is a byte order mark. INVALID_ARGUMENT is
// "FILE:LINE: " and what is wrong there.
absl::StatusOr<CsvContent> ParseCsv(std::string_view text, const std::string& file);

// The cells of one line; nothing: its quotes do not end.
std::optional<std::vector<std::string>> ParseCsvLine(std::string_view line);

}  // namespace mentor::report
