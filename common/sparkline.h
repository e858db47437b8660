// A small curve in one line of text. Pure; threads may share.
#pragma once

#include <span>
#include <string>

namespace mentor {

// The numbers from their least to their greatest as bars, at most `columns`: of more numbers each
// bar is a mean. Numbers that are not finite are left out. `blocks`: Unicode's ▁ to █, else ASCII.
std::string Sparkline(std::span<const double> numbers, int columns, bool blocks);

// The environment says that the terminal shows UTF-8 (LC_ALL, LC_CTYPE, LANG).
bool TerminalShowsUtf8();

}  // namespace mentor
