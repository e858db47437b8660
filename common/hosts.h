// Hosts: programs that simulate environments for actors, each under a name that whoever runs the
// actor gives it (docs/own_environments.md). A task names its host, so that learners give it to
// actors that have it. Pure functions; threads may share.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <google/protobuf/repeated_ptr_field.h>

#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

// The environment of all tasks that a host simulates, its option that names the host, and that
// which says what the host is like.
inline constexpr std::string_view kHostEnvironment = "host", kHostOption = "host",
                                  kFactsOption = "facts";
inline constexpr size_t kHostNameBytesMax = 40;
inline constexpr int kHostsMax = 64;  // Of an actor.

// Small letters, digits, "-" and "_".
bool IsHostName(std::string_view name);
// The host that an actor needs for the task; empty: none.
std::string HostOf(const v1::EnvironmentTask& task);

// What an actor says that it offers: at most kHostsMax names, each once. INVALID_ARGUMENT names the
// field.
absl::Status CheckHostNames(std::string_view field,
                            const google::protobuf::RepeatedPtrField<std::string>& names);

}  // namespace mentor
