// Natural order of names: "episode_2" before "episode_10". Pure; threads may share.
#pragma once

#include <string_view>

namespace mentor {

// Compares runs of digits as numbers. A strict order: names that differ only in leading zeros are
// compared as text.
bool NaturalLess(std::string_view a, std::string_view b);

}  // namespace mentor
