// Simulators: programs that simulate environments for actors (docs/own_environments.md). The
// operator of an actor names its simulators. A task names its simulator, so that learners give the
// task to actors that offer the simulator. Pure functions; threads may share.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <google/protobuf/repeated_ptr_field.h>

#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

// The environment of all tasks of simulators; the option that names the simulator; the option
// with the simulator's facts.
inline constexpr std::string_view kHostEnvironment = "host", kHostOption = "host",
                                  kFactsOption = "facts";
inline constexpr size_t kHostNameBytesMax = 40;
inline constexpr int kHostsMax = 64;  // Per actor.

// True for names of lower-case letters, digits, "-" and "_".
bool IsHostName(std::string_view name);
// Returns the simulator that an actor needs for the task; empty: none.
std::string HostOf(const v1::EnvironmentTask& task);

// Checks the simulators that an actor offers: at most kHostsMax names, each once. INVALID_ARGUMENT
// names the field.
absl::Status CheckSimulatorNames(std::string_view field,
                                 const google::protobuf::RepeatedPtrField<std::string>& names);

}  // namespace mentor
