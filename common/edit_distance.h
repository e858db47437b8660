// How far two words are apart, for "did you mean". Pure; threads may share.
#pragma once

#include <cstddef>
#include <string_view>

namespace mentor {

// Levenshtein's distance: characters inserted, removed or replaced. Takes time in proportion to the
// product of the lengths.
size_t EditDistance(std::string_view a, std::string_view b);

}  // namespace mentor
