// The order in which people look for names: "episode_2" before "episode_10". Pure; threads may
// share.
#pragma once

#include <string_view>

namespace mentor {

// Runs of digits count as numbers. A strict order: names that differ only in zeros before a number
// go by their text.
bool NaturalLess(std::string_view a, std::string_view b);

}  // namespace mentor
