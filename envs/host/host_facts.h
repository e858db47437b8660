// The facts that a simulator states of its environment: their bounds, and the text that a spec
// carries. With that text, checking a spec or planning units needs no simulator, and an actor
// notices a simulator that differs. Pure functions; threads may share.
#pragma once

#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "envs/environment.h"
#include "mentor/v1/environment_host.pb.h"

namespace mentor::envs {

inline constexpr int kFactsBytesMax = 8000;

// INVALID_ARGUMENT names the first fact that is out of bounds.
absl::Status CheckFacts(const v1::EnvironmentFacts& facts);
// One line of text, and back; parsing checks it too.
std::string FactsText(const v1::EnvironmentFacts& facts);
absl::StatusOr<v1::EnvironmentFacts> ParseFacts(const std::string& text);
EnvironmentInfo InfoOf(const v1::EnvironmentFacts& facts);
// What the simulator's name says that resets leave as it is: "NormalizeObservation". Empty:
// nothing.
std::string NotReset(const v1::EnvironmentFacts& facts);
// "observation_size is 11, expected 10, ..."; empty: they are equal.
std::string DifferencesOfFacts(const v1::EnvironmentFacts& got,
                               const v1::EnvironmentFacts& expected);

}  // namespace mentor::envs
