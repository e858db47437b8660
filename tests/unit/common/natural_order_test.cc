#include <algorithm>

#include "common/edit_distance.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

TEST_CASE("natural order: numbers by their value, the rest by its letters", "[unit]") {
  const std::vector<std::string> ordered = {"",
                                            "episode",
                                            "episode_1",
                                            "episode_01",
                                            "episode_2",
                                            "episode_10",
                                            "seg2/a",
                                            "seg10/a",
                                            "seg10/b",
                                            "x99999999999999999999998",
                                            "x99999999999999999999999"};
  std::vector<std::string> names = ordered;
  std::reverse(names.begin(), names.end());
  std::sort(names.begin(), names.end(), NaturalLess);
  // Either of two names for one number may be first; only one of them is.
  CHECK(NaturalLess("episode_01", "episode_1") != NaturalLess("episode_1", "episode_01"));
  std::swap(names[2], names[3]);
  CHECK(names == ordered);
}

}  // namespace mentor::TEST_FILE
