#include "cli/report/csv_table.h"

#include <cmath>

#include <absl/strings/str_format.h>

namespace mentor::report {

std::string CsvField(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

std::string CsvNumber(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.10g", value) : "";
}

}  // namespace mentor::report
