#include "common/rpc/token.h"

#include <algorithm>
#include <string>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

namespace mentor::rpc {

absl::StatusOr<Secret> ParseToken(std::string_view source, std::string_view text) {
  const absl::string_view word =
      absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size()));
  const auto wrong = [&](const char* why) {
    return absl::InvalidArgumentError(absl::StrCat(
        std::string(source), " ", why, "; 'mentorctl token new ROLE NAME' prints a token"));
  };
  if (word.empty()) return wrong("is empty, give a token");
  if (!std::all_of(word.begin(), word.end(), [](char c) { return absl::ascii_isgraph(c); }))
    return wrong("holds no token: give one line of printable ASCII characters without blanks");
  return Secret(std::string(word));
}

}  // namespace mentor::rpc
