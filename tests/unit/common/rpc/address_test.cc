// Addresses as flags name them.
#include "common/rpc/address.h"

#include "tests/testing.h"

namespace mentor::rpc::TEST_FILE {

using Strings = std::vector<std::string>;

TEST_CASE("address: dns:/// is one more way to write a host", "[unit]") {
  CHECK_FALSE(ParseAddress("dns:///127.0.0.1:50051", AddressOf::kServer).ok());
  CHECK(ParseAddress(" 127.0.0.1:0", AddressOf::kServer).value() == "127.0.0.1:0");
  CHECK(HostOf("learner:50051") == "learner");
  CHECK(HostOf("dns:///learner:50051") == "learner");
  CHECK(HostOf("[::1]:50051") == "::1");
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

}  // namespace mentor::rpc::TEST_FILE
