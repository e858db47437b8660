// Addresses, proxies and tokens, by the cases that the Python client reads too.
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/rpc/address.h"
#include "common/rpc/credentials.h"
#include "common/rpc/proxy.h"
#include "common/rpc/secret_file.h"
#include "tests/paths.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::rpc::TEST_FILE {

using mentor::testing::Contains;
using mentor::testing::ReadText;
using mentor::testing::SourcePath;

const nlohmann::json& Cases() {
  static const auto* const cases = new nlohmann::json(
      nlohmann::json::parse(ReadText(SourcePath("tests/data/connections.json"))));
  return *cases;
}

TEST_CASE("connections: addresses are trimmed, and what is wrong with one is named", "[unit]") {
  for (const auto& one : Cases()["lists"]) {
    const std::string list = one["list"];
    INFO(list);
    const auto addresses = ParseAddresses(list, kServersMax);
    if (one.contains("addresses")) {
      REQUIRE(addresses.ok());
      CHECK(*addresses == one["addresses"].get<std::vector<std::string>>());
      continue;
    }
    REQUIRE(absl::IsInvalidArgument(addresses.status()));
    INFO(addresses.status().ToString());
    CHECK(Contains(addresses.status(), one["error"].get<std::string>()));
  }
}

TEST_CASE("connections: no proxy within this machine, elsewhere the one that gRPC takes",
          "[unit]") {
  for (const std::string address : Cases()["loopback"]) {
    INFO(address);
    CHECK(IsLoopback(address));
  }
  for (const std::string address : Cases()["elsewhere"]) {
    INFO(address);
    CHECK_FALSE(IsLoopback(address));
  }
  for (const auto& one : Cases()["proxies"]) {
    INFO(one.dump());
    const auto environment = one["environment"].get<std::map<std::string, std::string>>();
    const auto proxy =
        ProxyFor(one["address"].get<std::string>(), [&](const char* name) -> const char* {
          const auto found = environment.find(name);
          return found == environment.end() ? nullptr : found->second.c_str();
        });
    REQUIRE(proxy.has_value() != one["proxy"].is_null());
    if (!proxy) continue;
    CHECK(proxy->variable == one["proxy"][0]);
    CHECK(proxy->address == one["proxy"][1]);
  }
}

TEST_CASE("connections: a token that cannot be a header is refused without its text", "[unit]") {
  for (const auto& one : Cases()["tokens"]) {
    const std::string text = one["text"];
    INFO(text);
    const auto token = ParseToken("MENTOR_TOKEN", text);
    REQUIRE(token.ok() != one["token"].is_null());
    if (token.ok()) {
      CHECK(token->Reveal() == one["token"]);
      continue;
    }
    const std::string message(token.status().message());
    CHECK(absl::IsInvalidArgument(token.status()));
    CHECK(message.starts_with("MENTOR_TOKEN "));
    CHECK_FALSE(Contains(message, "canary"));
  }
}

}  // namespace mentor::rpc::TEST_FILE
