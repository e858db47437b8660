#include "common/rpc/keep_open.h"

#include <absl/strings/str_format.h>

#include "common/rpc/health.h"

namespace mentor::rpc {

absl::Status WrongServer(const std::shared_ptr<grpc::Channel>& channel, const std::string& wanted,
                         const std::string& flag, const std::function<std::string()>& address) {
  const std::string program = ProgramAt(channel);
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s answers at %s, and not a mentor-%s: name the address of a mentor-%s (its --listen) with "
      "%s",
      program.empty() ? "another program, or another version," : "a " + program,
      address ? address() : "this address", wanted, wanted, flag));
}

}  // namespace mentor::rpc
