// What a host says of its environment, as far as it is believed, and as the text that a spec
// carries: with it, whoever checks a spec or plans units needs no host, and an actor whose host is
// another one notices. Pure functions; threads may share.
#pragma once

#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "envs/environment.h"
#include "mentor/v1/environment_host.pb.h"

namespace mentor::envs {

inline constexpr int kFactsBytesMax = 8000;

// INVALID_ARGUMENT names the first that is out of bounds.
absl::Status CheckFacts(const v1::EnvironmentFacts& facts);
// One line, and back; parsing checks, too.
std::string FactsText(const v1::EnvironmentFacts& facts);
absl::StatusOr<v1::EnvironmentFacts> ParseFacts(const std::string& text);
EnvironmentInfo InfoOf(const v1::EnvironmentFacts& facts);
// "observation_size is 11, expected 10, ..."; empty: they are equal.
std::string DifferencesOfFacts(const v1::EnvironmentFacts& got,
                               const v1::EnvironmentFacts& expected);

}  // namespace mentor::envs
