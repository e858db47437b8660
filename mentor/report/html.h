// Text for HTML and CSV. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace mentor::report {

// Safe as text and inside a quoted attribute. Bytes that are not UTF-8 and control characters
// become U+FFFD.
std::string EscapeHtml(std::string_view text);

// RFC 4180: quoted when it must be.
std::string CsvField(std::string_view text);
// Ten significant digits; empty when not finite.
std::string CsvNumber(double value);

}  // namespace mentor::report
