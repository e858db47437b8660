// Which of several servers is asked next.
#include "common/rpc/channel_list.h"

#include <chrono>

#include "common/status.h"
#include "tests/testing.h"

namespace mentor::rpc::TEST_FILE {

absl::Status NotLeader(const std::string& leader) {
  return MakeError(Reason::kNotLeader, "stands by", {{"leader", leader}});
}

const absl::Status kGone = absl::UnavailableError("connection refused");

TEST_CASE("addresses: the leader that is named is asked, if the user named it too", "[unit]") {
  AddressChoice choice({"a:1", "b:1", "c:1"});
  const AddressChoice::Clock::time_point now(std::chrono::hours(1));
  CHECK(choice.address() == "a:1");
  choice.Failed(NotLeader("c:1"), now);
  CHECK(choice.address() == "c:1");
  // Credentials go nowhere else.
  choice.Failed(NotLeader("evil:1"), now);
  CHECK(choice.address() == "a:1");
  choice.Failed(NotLeader(""), now);
  CHECK(choice.address() == "b:1");
  // A server that stands by and names itself is not asked again at once.
  choice.Failed(NotLeader("b:1"), now);
  CHECK(choice.address() == "c:1");
}

TEST_CASE("addresses: one that has just failed is the last to be asked again", "[unit]") {
  AddressChoice choice({"a:1", "b:1", "c:1"});
  AddressChoice::Clock::time_point now(std::chrono::hours(1));
  choice.Failed(kGone, now);
  CHECK(choice.address() == "b:1");
  // It still stands by, and names the one that is gone.
  choice.Failed(NotLeader("a:1"), now);
  CHECK(choice.address() == "c:1");
  choice.Failed(NotLeader("a:1"), now);
  CHECK(choice.address() == "b:1");
  now += std::chrono::seconds(3);
  choice.Failed(NotLeader("a:1"), now);
  CHECK(choice.address() == "a:1");
  // All have failed: in turn.
  for (const char* next : {"b:1", "c:1", "a:1", "b:1"}) {
    choice.Failed(kGone, now);
    CHECK(choice.address() == next);
  }
}

TEST_CASE("addresses: a list is checked as one address is", "[unit]") {
  CHECK(ChannelList::Make({.address = "127.0.0.1:1,127.0.0.1:2"}).ok());
  CHECK(absl::IsInvalidArgument(ChannelList::Make({.address = "127.0.0.1:1,"}).status()));
  CHECK(absl::IsInvalidArgument(ChannelList::Make({.address = "127.0.0.1:1, x"}).status()));
  // Plain text beyond this machine is refused in a list as it is alone.
  CHECK_FALSE(ChannelList::Make({.address = "127.0.0.1:1,far.example:2"}).ok());
  std::string many = "127.0.0.1:1";
  for (int i = 0; i < 16; ++i) many += ",127.0.0.1:1";
  CHECK(absl::IsInvalidArgument(ChannelList::Make({.address = many}).status()));
}

}  // namespace mentor::rpc::TEST_FILE
