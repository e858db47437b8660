// The output of `mentor env list` and `mentor env show NAME`, as text or JSON. Nothing here changes
// a result.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "mentor/v1/spec.pb.h"

namespace mentor::envs {

// Environments by suite, benchmarks and wrappers, one line each.
std::string DescribeCatalogue(bool json = false);
// All facts about the environment, benchmark or wrapper of this name. Makes and resets an
// environment for it, with these options. NOT_FOUND names near matches.
absl::StatusOr<std::string> Describe(
    std::string_view name, bool json = false,
    const google::protobuf::RepeatedPtrField<v1::Option>& options = {});

}  // namespace mentor::envs
