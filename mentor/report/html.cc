#include "mentor/report/html.h"

#include <cmath>
#include <cstdint>

#include <absl/strings/str_format.h>

namespace mentor::report {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Returns the length of the valid UTF-8 sequence at the beginning of `text`; 0 without one.
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  size_t length = 0;
  uint32_t code = 0, least = 0;
  if (byte(0) < 0x80) return 1;
  if (byte(0) >= 0xC2 && byte(0) < 0xE0)
    length = 2, code = byte(0) & 0x1F, least = 0x80;
  else if (byte(0) >= 0xE0 && byte(0) < 0xF0)
    length = 3, code = byte(0) & 0x0F, least = 0x800;
  else if (byte(0) >= 0xF0 && byte(0) < 0xF5)
    length = 4, code = byte(0) & 0x07, least = 0x10000;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3F);
  }
  const bool is_surrogate = code >= 0xD800 && code < 0xE000;
  return code >= least && code <= 0x10FFFF && !is_surrogate ? length : 0;
}

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    const char c = text[0];
    if (length == 0)
      escaped += kReplacement;
    else if (length > 1)
      escaped += text.substr(0, length);
    else if (c == '&')
      escaped += "&amp;";
    else if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else if (c == '"')
      escaped += "&quot;";
    else if (c == '\'')
      escaped += "&#39;";
    else if ((static_cast<uint8_t>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F)
      escaped += kReplacement;
    else
      escaped += c;
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return escaped;
}

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
