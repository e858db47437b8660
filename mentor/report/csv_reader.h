// Reads a CSV file with a header (RFC 4180). Cells are text; who wants numbers converts them.
// Functions without state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor::report {

// A legal file has at most so many rows and bytes.
inline constexpr uint64_t kCsvRowsMax = 1'000'000, kCsvBytesMax = uint64_t{64} << 20;

struct CsvContent {
  std::vector<std::string> header;
  // As many cells as the header has. Row 1 is the one below the header.
  std::vector<std::vector<std::string>> rows;

  // Place of a column of the header; -1: there is none.
  int Column(std::string_view name) const;
};

// INVALID_ARGUMENT names the row and the remedy. Empty lines are skipped. A byte order mark and
// carriage returns before line feeds are taken as nothing.
absl::StatusOr<CsvContent> ParseCsv(std::string_view text);

}  // namespace mentor::report
