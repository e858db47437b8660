// Pages, their tokens, and orders of lists.
#include "meta_learner/store/paging.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/status.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

TEST_CASE("paging: fifty rows unless asked, a thousand at most", "[unit]") {
  Violations violations;
  CHECK(PageSize(0, &violations) == 50);
  CHECK(PageSize(1, &violations) == 1);
  CHECK(PageSize(1000, &violations) == 1000);
  CHECK(PageSize(1001, &violations) == 1000);
  CHECK(PageSizeOrAll(0, &violations) == 0);
  CHECK(PageSizeOrAll(7, &violations) == 7);
  CHECK(PageSizeOrAll(5000, &violations) == 1000);
  CHECK(violations.empty());
  CHECK(PageSize(-1, &violations) == 50);
  PageSizeOrAll(-1, &violations);
  REQUIRE(violations.list().size() == 2);
  CHECK(violations.list()[0].field == "page_size");
}

TEST_CASE("paging: a page ends with its rows or its bytes, and has one row at least", "[unit]") {
  PageRoom rows(2);
  CHECK(rows.Take(1));
  CHECK(rows.Take(1));
  CHECK_FALSE(rows.Take(0));
  PageRoom many(0);  // Only the bytes count.
  for (int i = 0; i < 5000; ++i) CHECK(many.Take(1));
  PageRoom one(10);
  CHECK(one.Take(2 * kPageBytesMax));
  CHECK_FALSE(one.Take(0));
  // With eight bytes around each.
  PageRoom full(10);
  CHECK(full.Take(kPageBytesMax - 8 - 8 - 1));
  CHECK_FALSE(full.Take(2));
  CHECK(full.Take(1));
  CHECK_FALSE(full.Take(0));
}

TEST_CASE("paging: a token leads on behind its row, in its own list alone", "[unit]") {
  for (const std::string& last : std::vector<std::string>{"", "x", "experiments/a\nb", "\xff"}) {
    const std::string token = MakePageToken("list a", last);
    CHECK(*ReadPageToken(token, "list a") == last);
    CHECK(ReasonOf(ReadPageToken(token, "list b").status()) == "PAGE_TOKEN_MISMATCH");
  }
  CHECK(ReadPageToken("", "list a")->empty());
  // One letter of it.
  const std::string token = MakePageToken("list a", "row 17");
  for (size_t i = 0; i < token.size(); ++i) {
    std::string other = token;
    other[i] = other[i] == 'A' ? 'B' : 'A';
    if (other != token) CHECK_FALSE(ReadPageToken(other, "list a").ok());
  }
  CHECK(*ReadPlace("", "q") == 0);
  CHECK(*ReadPlace(MakePageToken("q", "12"), "q") == 12);
  CHECK(ReasonOf(ReadPlace(MakePageToken("q", "-1"), "q").status()) == "PAGE_TOKEN_MISMATCH");
  CHECK(ReasonOf(ReadPlace(MakePageToken("q", "x"), "q").status()) == "PAGE_TOKEN_MISMATCH");
  CHECK(ReasonOf(ReadPlace(MakePageToken("q", "12"), "r").status()) == "PAGE_TOKEN_MISMATCH");
}

TEST_CASE("paging: keys sort as the order says, and by name where it says nothing", "[unit]") {
  using S = v1::Experiment;
  // Each later in all respects but its name.
  std::vector<v1::Experiment> experiments(3);
  for (int i = 0; i < 3; ++i) {
    v1::Experiment& experiment = experiments[static_cast<size_t>(i)];
    experiment.set_name("experiments/" + std::string(1, static_cast<char>('c' - i)));
    // 9, 10 and 11 s: as texts, 9 would be the last.
    experiment.mutable_create_time()->set_seconds(9 + i);
    experiment.mutable_update_time()->set_seconds(109 - i);
    experiment.set_priority(static_cast<v1::Priority>(v1::PRIORITY_LOW + i));
  }
  experiments[0].set_state(S::STATE_RUNNING);
  experiments[1].set_state(S::STATE_FAILED);
  experiments[2].set_state(S::STATE_RUNNING);
  const auto sorted = [&](const std::string& order_by) {
    const auto order = ParseOrder(order_by);
    REQUIRE(order.ok());
    std::vector<v1::Experiment> list = experiments;
    std::sort(list.begin(), list.end(), [&](const auto& a, const auto& b) {
      return order->descending ? order->key(a) > order->key(b) : order->key(a) < order->key(b);
    });
    std::string names;
    for (const v1::Experiment& experiment : list) names += experiment.name().back();
    return names;
  };
  CHECK(sorted("") == "abc");
  CHECK(sorted("name") == "abc");
  CHECK(sorted("name desc") == "cba");
  CHECK(sorted("create_time") == "cba");
  CHECK(sorted("create_time desc") == "abc");
  CHECK(sorted("update_time") == "abc");
  CHECK(sorted("priority") == "cba");
  CHECK(sorted("priority desc") == "abc");
  CHECK(sorted("state") == "bac");  // The name decides among equals.
  for (const char* bad : {"colour", " desc", "name asc", "NAME", "create_time,name"}) {
    INFO(bad);
    CHECK(ReasonOf(ParseOrder(bad).status()) == "INVALID_FIELD");
  }
}

}  // namespace mentor::meta_learner::TEST_FILE
