#include "common/rpc/address.h"

#include <algorithm>
#include <set>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <arpa/inet.h>
#include <netdb.h>

#include "common/check.h"

namespace mentor::rpc {
namespace {

std::string_view WithoutDns(std::string_view address) {
  constexpr std::string_view kDns = "dns:///";
  if (address.starts_with(kDns)) address.remove_prefix(kDns.size());
  return address;
}

// True for what gRPC resolves in another way than HOST:PORT.
bool HasScheme(std::string_view address) {
  for (const std::string_view scheme : {"dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:"}) {
    if (address.starts_with(scheme)) return true;
  }
  return false;
}

bool IsGraphic(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isgraph(c); });
}

// Returns what is wrong with HOST; empty if nothing is. The host becomes a header of calls, in
// which gRPC takes printable characters only.
std::string WrongHost(std::string_view host) {
  if (host.empty() || host == "[]") return "the host is missing; expected HOST:PORT";
  const bool brackets = host.size() > 1 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  if (!brackets && host.find(':') != host.npos)
    return "a host with ':' stands in brackets, as in [::1]:50052";
  const std::string_view others = brackets ? ":.%-_" : ".-_";
  const bool good = std::all_of(host.begin(), host.end(), [&](char c) {
    return absl::ascii_isalnum(c) || others.find(c) != others.npos;
  });
  return good ? "" : "a host has letters of ASCII, digits, '.', '-' and '_' only";
}

}  // namespace

absl::StatusOr<std::string> ParseAddress(std::string_view text, AddressOf of) {
  const std::string all(absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size())));
  const auto wrong = [&](const std::string& why) {
    return absl::InvalidArgumentError(absl::StrCat("address '", all, "': ", why));
  };
  std::string_view address = all;
  if (of == AddressOf::kPeer) address = WithoutDns(address);
  if (of == AddressOf::kPeer && HasScheme(address) && IsGraphic(address)) return all;
  if (const size_t scheme = address.find("://"); scheme != address.npos) {
    const std::string_view rest = address.substr(scheme + 3);
    return wrong(absl::StrCat("leave out ", std::string(address.substr(0, scheme + 3)), ": give ",
                              std::string(rest.substr(0, rest.find('/')))));
  }
  const size_t colon = address.rfind(':');
  if (colon == address.npos) return wrong("expected HOST:PORT");
  if (const std::string why = WrongHost(address.substr(0, colon)); !why.empty()) return wrong(why);
  const std::string port(address.substr(colon + 1));
  const bool digits = std::all_of(port.begin(), port.end(), absl::ascii_isdigit);
  const int least = of == AddressOf::kServer ? 0 : 1;
  int number = -1;
  if (port.empty() || port.size() > 5 || !digits || !absl::SimpleAtoi(port, &number) ||
      number < least || number > 65535) {
    return wrong(absl::StrCat("the port must be a number from ", least, " to 65535"));
  }
  return all;
}

absl::StatusOr<std::vector<std::string>> ParseAddresses(std::string_view list, size_t most,
                                                        AddressOf of) {
  std::vector<std::string> addresses =
      absl::StrSplit(absl::string_view(list.data(), list.size()), ',');
  if (addresses.size() > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("there are ", addresses.size(), " addresses; give at most ", most));
  }
  for (std::string& address : addresses) {
    MENTOR_ASSIGN_OR_RETURN(address, ParseAddress(address, of));
  }
  return addresses;
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
