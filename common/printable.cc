#include "common/printable.h"

#include <cstddef>
#include <cstdint>

#include <absl/strings/str_format.h>

namespace mentor {
namespace {

// A decoded character and its length; invalid and one byte long if the bytes are not UTF-8.
struct Decoded {
  uint32_t code = 0;
  size_t bytes = 1;
  bool valid = false;
};

Decoded DecodeAt(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) return {.code = lead, .bytes = 1, .valid = true};
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
  if (length == 0 || lead > 0xf4 || at + length > text.size()) return {};
  uint32_t code = lead & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return {};
    code = (code << 6) | (byte(at + i) & 0x3fU);
  }
  const bool overlong = code < (length == 2 ? 0x80U : length == 3 ? 0x800U : 0x10000U);
  if (overlong || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff) return {};
  return {.code = code, .bytes = length, .valid = true};
}

// Joiners (U+200C, U+200D) are kept: words of some languages need them, and they move nothing.
bool IsObeyed(uint32_t code) {
  struct Range {
    uint32_t first, last;
  };
  static constexpr Range kRanges[] = {
      {0x00, 0x1f},        // C0: escape sequences begin here.
      {0x7f, 0x9f},        // DEL and C1, which some terminals take for escape sequences.
      {0x61c, 0x61c},      // Arabic letter mark.
      {0x200b, 0x200b},    // Zero width space.
      {0x200e, 0x200f},    // Marks of direction.
      {0x2028, 0x202e},    // Ends of lines and paragraphs; embeddings and overrides.
      {0x2060, 0x206f},    // Word joiner, invisible operators, isolates.
      {0xfeff, 0xfeff},    // Byte order mark.
      {0xfff9, 0xfffb},    // Annotations.
      {0xe0000, 0xe007f},  // Tags.
  };
  for (const Range& range : kRanges) {
    if (code >= range.first && code <= range.last) return true;
  }
  return false;
}

std::string Shown(std::string_view text, bool keep_lines) {
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    const Decoded next = DecodeAt(text, at);
    if (next.valid && (next.code == '\n' || next.code == '\t')) {
      shown += keep_lines ? text[at] : ' ';
    } else if (!next.valid || IsObeyed(next.code)) {
      shown += '?';
    } else {
      shown.append(text.substr(at, next.bytes));
    }
    at += next.bytes;
  }
  return shown;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  Decoded next;
  for (size_t at = 0; at < text.size(); at += next.bytes) {
    next = DecodeAt(text, at);
    if (!next.valid) return false;
  }
  return true;
}

std::string Printable(std::string_view text) {
  return Shown(text, /*keep_lines=*/false);
}

std::string PrintableLines(std::string_view text) {
  return Shown(text, /*keep_lines=*/true);
}

std::string PrintableJson(std::string_view json) {
  std::string shown;
  for (size_t at = 0; at < json.size();) {
    const Decoded next = DecodeAt(json, at);
    // Below a space JSON has only its own line ends.
    if (!next.valid) {
      shown += "\\ufffd";
    } else if (next.code < 0x20 || !IsObeyed(next.code)) {
      shown.append(json.substr(at, next.bytes));
    } else if (next.code < 0x10000) {
      shown += absl::StrFormat("\\u%04x", next.code);
    } else {
      const uint32_t rest = next.code - 0x10000;
      shown += absl::StrFormat("\\u%04x\\u%04x", 0xd800 + (rest >> 10), 0xdc00 + (rest & 0x3ff));
    }
    at += next.bytes;
  }
  return shown;
}

}  // namespace mentor
