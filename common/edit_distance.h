// Similar names, for "did you mean". Pure; threads may share.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mentor {

// Number of characters inserted, removed, replaced, or swapped with a neighbour. Takes time
// proportional to the product of the lengths.
size_t EditDistance(std::string_view a, std::string_view b);

// Returns at most three of `names` that `wrong` may stand for, the nearest first: names that differ
// in a few characters or begin with it. Ignores case, and treats '-' and '_' as equal.
std::vector<std::string> NearestNames(std::string_view wrong,
                                      const std::vector<std::string>& names);

// Returns "did you mean 'list' or 'last'?", or "known: a, b, c" if no name is near.
std::string NameHint(std::string_view wrong, const std::vector<std::string>& names);

// The natural order of names: "episode_2" before "episode_10".
//
// Compares runs of digits as numbers. A strict order: names that differ only in leading zeros are
// compared as text.
bool NaturalLess(std::string_view a, std::string_view b);

}  // namespace mentor
