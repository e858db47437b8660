// What `mentor env list` and `mentor env show NAME` print, for people or as JSON. Nothing here
// changes a result.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "mentor/v1/spec.pb.h"

namespace mentor::envs {

// Environments by suite, benchmarks and wrappers, one line each.
std::string DescribeCatalogue(bool json = false);
// Everything that is known of the environment, benchmark or wrapper of this name. An environment is
// made and reset for it, with these options. NOT_FOUND names near matches.
absl::StatusOr<std::string> Describe(
    std::string_view name, bool json = false,
    const google::protobuf::RepeatedPtrField<v1::Option>& options = {});

}  // namespace mentor::envs
