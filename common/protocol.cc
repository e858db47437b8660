#include "common/protocol.h"

#include <algorithm>

#include <absl/strings/str_format.h>
#include <unistd.h>

#include "common/check.h"
#include "common/hosts.h"
#include "common/status.h"
#include "common/uuid.h"

namespace mentor {

constinit const std::string_view kBuildVersion = MENTOR_VERSION;

v1::Hello NewHello() {
  v1::Hello hello;
  hello.set_protocol_version(kProtocolVersion);
  hello.set_build(kBuildVersion.data(), kBuildVersion.size());
  hello.set_peer_uid(NewUuid());
  char host[256] = "";
  if (gethostname(host, sizeof(host) - 1) == 0) hello.set_host(host);
  return hello;
}

absl::Status CheckPlain(std::string_view field, std::string_view text, size_t bytes_min,
                        size_t bytes_max) {
  const bool plain =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
  if (plain && text.size() >= bytes_min && text.size() <= bytes_max) return absl::OkStatus();
  return MakeError(
      Reason::kProtocolViolation,
      absl::StrFormat("%s: %d bytes%s; %d to %d printable ASCII characters are allowed", field,
                      text.size(), plain ? "" : ", not all of them printable", bytes_min,
                      bytes_max));
}

absl::Status CheckHello(const v1::Hello& hello) {
  MENTOR_RETURN_IF_ERROR(CheckPlain("hello.build", hello.build(), 0, kPeerTextBytesMax));
  if (hello.protocol_version() != kProtocolVersion) {
    return MakeError(
        Reason::kProtocolVersion,
        absl::StrFormat("the peer speaks protocol %d (build %s), this process %d (build %s): run "
                        "the same version on both sides",
                        hello.protocol_version(), hello.build(), kProtocolVersion,
                        std::string(kBuildVersion)));
  }
  MENTOR_RETURN_IF_ERROR(CheckPlain("hello.peer_uid", hello.peer_uid(), 1, kPeerUidBytesMax));
  MENTOR_RETURN_IF_ERROR(CheckPlain("hello.host", hello.host(), 0, kPeerTextBytesMax));
  MENTOR_RETURN_IF_ERROR(
      CheckPlain("hello.catalogue_hash", hello.catalogue_hash(), 0, kPeerTextBytesMax));
  MENTOR_RETURN_IF_ERROR(
      CheckPlain("hello.numeric_fingerprint", hello.numeric_fingerprint(), 1, kPeerTextBytesMax));
  MENTOR_RETURN_IF_ERROR(CheckPlain("hello.device", hello.device(), 0, kPeerTextBytesMax));
  MENTOR_RETURN_IF_ERROR(
      CheckPlain("hello.cpu_fingerprint", hello.cpu_fingerprint(), 0, kPeerTextBytesMax));
  if (hello.threads() < 1 || hello.threads() > kPeerThreadsMax) {
    return MakeError(Reason::kProtocolViolation,
                     absl::StrFormat("hello.threads: is %d; 1 to %d are allowed", hello.threads(),
                                     kPeerThreadsMax));
  }
  return CheckSimulatorNames("hello.hosts", hello.hosts());
}

}  // namespace mentor
