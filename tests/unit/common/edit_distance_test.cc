#include "common/edit_distance.h"

#include "tests/testing.h"

namespace mentor::TEST_FILE {

using Names = std::vector<std::string>;

TEST_CASE("edit distance: insertions, removals, replacements, swaps", "[unit]") {
  CHECK(EditDistance("", "") == 0);
  CHECK(EditDistance("abc", "") == 3);
  CHECK(EditDistance("", "abc") == 3);
  CHECK(EditDistance("lst", "list") == 1);
  CHECK(EditDistance("rnu", "run") == 1);
  CHECK(EditDistance("shwo", "show") == 1);
  CHECK(EditDistance("fitler", "filter") == 1);
  CHECK(EditDistance("kitten", "sitting") == 3);
}

TEST_CASE("edit distance: the nearest names, not those that share a few letters", "[unit]") {
  const Names commands = {"run", "report", "rule", "hash", "env"};
  CHECK(NearestNames("rnu", commands) == Names{"run"});
  CHECK(NearestNames("rep", commands) == Names{"report"});
  CHECK(NearestNames("HASH", commands) == Names{"hash"});
  CHECK(NearestNames("xyz", commands).empty());
  CHECK(NearestNames("", commands).empty());
  CHECK(NearestNames(std::string(1000, 'r'), commands).empty());
  CHECK(NearestNames("order-by", {"order_by"}) == Names{"order_by"});
  CHECK(NameHint("ru", commands) == "did you mean 'run' or 'rule'?");
  CHECK(NameHint("xyz", {"a", "b"}) == "known: a, b");
  CHECK(NameHint("xyz", Names(50, "a")).ends_with("a, a and 10 more"));
}

}  // namespace mentor::TEST_FILE
