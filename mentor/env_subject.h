// Environments as command lines name them: a registered name, or the folder of a bundle. One
// thread.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/spec.pb.h"

namespace mentor {

using EnvironmentOptions = google::protobuf::RepeatedPtrField<v1::Option>;

// INVALID_ARGUMENT "FLAG VALUE: REMEDY".
absl::Status BadFlag(const std::string& flag, const std::string& value, const std::string& remedy);
// "NAME=VALUE"
absl::StatusOr<v1::Option> ParseOption(const std::string& flag, const std::string& text);
// "NAME" or "NAME:OPTION=VALUE,OPTION=VALUE"
absl::StatusOr<v1::WrapperSpec> ParseWrapper(const std::string& text);

// Reads --option; and where *name is a folder, it becomes the environment of bundles and the folder
// its bundle, which FindBundle finds from now on. So does a folder that stands in an option for a
// bundle.
absl::StatusOr<EnvironmentOptions> TakeEnvironment(std::string* name,
                                                   const std::vector<std::string>& options);

}  // namespace mentor
