// A small curve in one line of text. Pure; threads may share.
#pragma once

#include <span>
#include <string>

namespace mentor {

// Plots the numbers as at most `columns` bars, from their least to their greatest value. With more
// numbers than columns, each bar is a mean. Non-finite numbers are left out. `blocks`: Unicode's ▁
// to █, else ASCII.
std::string Sparkline(std::span<const double> numbers, int columns, bool blocks);

// True if the environment says that the terminal shows UTF-8 (LC_ALL, LC_CTYPE, LANG).
bool TerminalShowsUtf8();

}  // namespace mentor
