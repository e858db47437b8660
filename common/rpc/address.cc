#include "common/rpc/address.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

namespace mentor::rpc {
namespace {

bool HasScheme(std::string_view address) {
  if (address.find("://") != std::string_view::npos) return true;
  for (const std::string_view scheme : {"dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:"}) {
    if (address.starts_with(scheme)) return true;
  }
  return false;
}

}  // namespace

absl::Status CheckAddress(std::string_view address, AddressOf of) {
  if (of == AddressOf::kPeer && HasScheme(address)) return absl::OkStatus();
  const std::string text(address);
  const auto wrong = [&](const std::string& why) {
    return absl::InvalidArgumentError(absl::StrCat("address '", text, "': ", why));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return wrong("expected HOST:PORT");
  const std::string host = text.substr(0, colon), port = text.substr(colon + 1);
  if (host.empty() || host == "[]") return wrong("the host is missing; expected HOST:PORT");
  if (host.find(':') != std::string::npos && (host.front() != '[' || host.back() != ']')) {
    return wrong("a host with ':' stands in brackets, as in [::1]:50052");
  }
  const bool digits = std::all_of(port.begin(), port.end(),
                                  [](unsigned char byte) { return byte >= '0' && byte <= '9'; });
  const int least = of == AddressOf::kServer ? 0 : 1;
  int number = -1;
  if (port.empty() || port.size() > 5 || !digits || !absl::SimpleAtoi(port, &number) ||
      number < least || number > 65535) {
    return wrong(absl::StrCat("the port must be a number from ", least, " to 65535"));
  }
  return absl::OkStatus();
}

}  // namespace mentor::rpc
