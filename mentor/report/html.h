// Escaping and formatting for HTML and CSV. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace mentor::report {

// Returns text that is safe in HTML and inside a quoted attribute. Bytes that are not UTF-8 and
// control characters become U+FFFD.
std::string EscapeHtml(std::string_view text);

// Quotes a CSV field when RFC 4180 requires it.
std::string CsvField(std::string_view text);
// Formats ten significant digits; empty when not finite.
std::string CsvNumber(double value);

}  // namespace mentor::report
