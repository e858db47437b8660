#include "common/rpc/address.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <arpa/inet.h>
#include <netdb.h>

namespace mentor::rpc {
namespace {

std::string_view WithoutDns(std::string_view address) {
  constexpr std::string_view kDns = "dns:///";
  if (address.starts_with(kDns)) address.remove_prefix(kDns.size());
  return address;
}

bool HasScheme(std::string_view address) {
  if (address.find("://") != std::string_view::npos) return true;
  for (const std::string_view scheme : {"dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:"}) {
    if (address.starts_with(scheme)) return true;
  }
  return false;
}

}  // namespace

absl::Status CheckAddress(std::string_view address, AddressOf of) {
  if (of == AddressOf::kPeer) address = WithoutDns(address);
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

absl::StatusOr<std::vector<std::string>> SplitAddresses(const std::string& list, size_t most) {
  std::vector<std::string> addresses = absl::StrSplit(list, ',');
  if (addresses.size() <= most) return addresses;
  return absl::InvalidArgumentError(
      absl::StrCat("there are ", addresses.size(), " addresses; give at most ", most));
}

std::string HostOf(std::string_view address) {
  address = WithoutDns(address);
  address = address.substr(0, address.rfind(':'));
  if (address.starts_with('[') && address.ends_with(']'))
    address = address.substr(1, address.size() - 2);
  return std::string(address);
}

absl::StatusOr<std::vector<std::string>> ResolveAddress(std::string_view address) {
  const std::string_view plain = WithoutDns(address);
  const std::string host = HostOf(plain), port(plain.substr(plain.rfind(':') + 1));
  in6_addr bytes;
  if (HasScheme(plain) || inet_pton(AF_INET, host.c_str(), &bytes) == 1 ||
      inet_pton(AF_INET6, host.c_str(), &bytes) == 1)
    return std::vector<std::string>{std::string(plain)};
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return absl::UnavailableError(
        absl::StrCat("the name '", host, "' has no address: ", gai_strerror(error)));
  }
  const absl::Cleanup free = [&] { freeaddrinfo(found); };
  std::set<std::string> sorted;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof(text), nullptr, 0,
                    NI_NUMERICHOST) != 0)
      continue;
    sorted.insert(one->ai_family == AF_INET6 ? absl::StrCat("[", text, "]:", port)
                                             : absl::StrCat(text, ":", port));
  }
  return std::vector<std::string>(sorted.begin(), sorted.end());
}

}  // namespace mentor::rpc
