#include "cli/local/sparkline.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>

namespace mentor {

std::string Sparkline(std::span<const double> numbers, int columns, bool blocks) {
  static constexpr std::string_view kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static constexpr std::string_view kAscii[] = {"_", ".", "-", "=", "+", "*", "%", "#"};
  std::vector<double> finite;
  for (const double number : numbers) {
    if (std::isfinite(number)) finite.push_back(number);
  }
  if (finite.empty() || columns < 1) return "";
  const size_t bars = std::min(finite.size(), static_cast<size_t>(columns));
  std::vector<double> means;
  for (size_t bar = 0; bar < bars; ++bar) {
    const size_t begin = bar * finite.size() / bars, end = (bar + 1) * finite.size() / bars;
    double sum = 0;
    for (size_t i = begin; i < end; ++i) sum += finite[i];
    means.push_back(sum / static_cast<double>(end - begin));
  }
  const auto [low, high] = std::minmax_element(means.begin(), means.end());
  std::string text;
  for (const double mean : means) {
    const double height = *high > *low ? (mean - *low) / (*high - *low) : 0;
    const auto level = static_cast<size_t>(std::lround(height * 7));
    text += blocks ? kBlocks[level] : kAscii[level];
  }
  return text;
}

bool TerminalShowsUtf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string locale = absl::AsciiStrToLower(value);
    return absl::StrContains(locale, "utf-8") || absl::StrContains(locale, "utf8");
  }
  return false;
}

}  // namespace mentor
