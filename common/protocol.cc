#include "common/protocol.h"

#include <absl/strings/str_format.h>
#include <unistd.h>

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

absl::Status CheckProtocolVersion(const v1::Hello& hello) {
  if (hello.protocol_version() == kProtocolVersion) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, Reason::kProtocolVersion,
                   absl::StrFormat("the peer speaks protocol %d (build %s), this process %d (build "
                                   "%s): run the same version "
                                   "on both sides",
                                   hello.protocol_version(), hello.build(), kProtocolVersion,
                                   std::string(kBuildVersion)));
}

}  // namespace mentor
