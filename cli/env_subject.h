// Environments as command lines name them: by a registered name or by the folder of a bundle. One
// thread.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/process/flags.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

using EnvironmentOptions = google::protobuf::RepeatedPtrField<v1::Option>;

// Returns INVALID_ARGUMENT "FLAG VALUE: REMEDY".
absl::Status BadFlag(const std::string& flag, const std::string& value, const std::string& remedy);
// Parses "NAME=VALUE".
absl::StatusOr<v1::Option> ParseOption(const std::string& flag, const std::string& text);
// Parses "NAME" or "NAME:OPTION=VALUE,OPTION=VALUE".
absl::StatusOr<v1::WrapperSpec> ParseWrapper(const std::string& text);

// Parses --option. When *name is a folder, *name becomes the environment of bundles and the folder
// its bundle. A folder that is the value of a bundle option becomes a bundle too. FindBundle finds
// these bundles from now on.
absl::StatusOr<EnvironmentOptions> TakeEnvironment(std::string* name,
                                                   const std::vector<std::string>& options);
// Allows the simulators of the flags. With an empty *name and a single simulator, *name and
// *options become those of the simulator's environment. Adds a simulator's facts to the options of
// its environment.
absl::Status TakeSimulators(const SimulatorFlags& flags, std::string* name,
                            EnvironmentOptions* options);

}  // namespace mentor
