// What `mentor env list` and `mentor env show NAME` print. Pure but for the environment that
// DescribeEnvironment makes.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

namespace mentor::envs {

// Environments and benchmarks, one line each.
std::string DescribeCatalogue();
// Sizes, options and the meaning of a task's fields. NOT_FOUND names near matches.
absl::StatusOr<std::string> DescribeEnvironment(std::string_view name);

}  // namespace mentor::envs
