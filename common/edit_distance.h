// Names that somebody may have meant, for "did you mean". Pure; threads may share.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mentor {

// Characters inserted, removed, replaced, or swapped with their neighbour. Takes time in proportion
// to the product of the lengths.
size_t EditDistance(std::string_view a, std::string_view b);

// The at most three of `names` that `wrong` may stand for, the nearest first: those that differ in
// a few characters or begin with it. Letters of both cases are equal, and so are '-' and '_'.
std::vector<std::string> NearestNames(std::string_view wrong,
                                      const std::vector<std::string>& names);

// "did you mean 'list' or 'last'?", or where none is near "known: a, b, c".
std::string NameHint(std::string_view wrong, const std::vector<std::string>& names);

}  // namespace mentor
