// Addresses as flags name them.
#include "common/rpc/address.h"

#include "tests/testing.h"

namespace mentor::rpc {
namespace {

using Strings = std::vector<std::string>;

TEST_CASE("address: dns:/// is one more way to write a host", "[unit]") {
  CHECK(CheckAddress("dns:///learner:50051", AddressOf::kPeer).ok());
  CHECK_FALSE(CheckAddress("dns:///learner", AddressOf::kPeer).ok());
  CHECK_FALSE(CheckAddress("dns:///learner:0", AddressOf::kPeer).ok());
  CHECK_FALSE(CheckAddress("dns:///127.0.0.1:50051", AddressOf::kServer).ok());
  CHECK(CheckAddress("unix:/run/mentor", AddressOf::kPeer).ok());
  CHECK(HostOf("learner:50051") == "learner");
  CHECK(HostOf("dns:///learner:50051") == "learner");
  CHECK(HostOf("[::1]:50051") == "::1");
}

TEST_CASE("address: a list has a greatest length", "[unit]") {
  CHECK(SplitAddresses("a:1", 2).value() == Strings{"a:1"});
  CHECK(SplitAddresses("a:1,b:2", 2).value() == Strings{"a:1", "b:2"});
  CHECK(SplitAddresses("a:1,", 2).value() == Strings{"a:1", ""});  // CheckAddress refuses "".
  const absl::Status status = SplitAddresses("a:1,b:2,c:3", 2).status();
  CHECK(absl::IsInvalidArgument(status));
  CHECK(std::string(status.message()).find("3 addresses; give at most 2") != std::string::npos);
}

TEST_CASE("address: a name stands for all its addresses, an address for itself", "[unit]") {
  for (const char* address : {"127.0.0.2:7", "[::1]:7", "ipv4:127.0.0.1:7", "unix:/run/mentor"}) {
    INFO(address);
    CHECK(ResolveAddress(address).value() == Strings{address});
  }
  CHECK(ResolveAddress("dns:///127.0.0.1:7").value() == Strings{"127.0.0.1:7"});
  const Strings local = ResolveAddress("localhost:7").value();
  CHECK_FALSE(local.empty());
  for (const std::string& address : local) {
    INFO(address);
    CHECK((address == "127.0.0.1:7" || address == "[::1]:7"));
  }
  CHECK(ResolveAddress("dns:///localhost:7").value() == local);
  // RFC 6761: this name cannot exist.
  const absl::Status nobody = ResolveAddress("nobody.invalid:7").status();
  CHECK(absl::IsUnavailable(nobody));
  CHECK(std::string(nobody.message()).find("'nobody.invalid'") != std::string::npos);
}

}  // namespace
}  // namespace mentor::rpc
