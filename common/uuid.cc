#include "common/uuid.h"

#include <cctype>

#include <sys/random.h>

#include "common/check.h"
#include "common/hash.h"

namespace mentor {

std::string NewUuid() {
  std::string bytes(16, '\0');
  MENTOR_CHECK(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);  // Version 4, RFC 4122 section 4.4.
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  std::string text = ToHex(bytes);
  for (const int dash : {8, 13, 18, 23}) text.insert(dash, 1, '-');
  return text;
}

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !std::isxdigit(static_cast<unsigned char>(text[i]))) return false;
  }
  return true;
}

std::string UuidBase32(std::string_view uuid, int length) {
  MENTOR_CHECK(IsUuid(uuid) && length >= 0 && length <= 25);
  constexpr char kDigits[] = "abcdefghijklmnopqrstuvwxyz234567";
  std::string text;
  uint32_t bits = 0;
  int num_bits = 0;
  for (const char digit : uuid) {
    if (digit == '-') continue;
    const uint32_t value = std::isdigit(static_cast<unsigned char>(digit))
                               ? digit - '0'
                               : std::tolower(static_cast<unsigned char>(digit)) - 'a' + 10;
    bits = (bits << 4) | value;
    num_bits += 4;
    if (num_bits < 5) continue;
    num_bits -= 5;
    if (static_cast<int>(text.size()) < length) text += kDigits[(bits >> num_bits) & 31];
    bits &= (1u << num_bits) - 1;
  }
  return text;
}

}  // namespace mentor
