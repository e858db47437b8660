// What this machine makes of the arithmetic that no rule fixes: equal fingerprints mean that
// simulations give the same bits, so that units may run on either machine. Thread-safe.
#pragma once

#include <string>

namespace mentor::envs {

// SHA-256 in hexadecimal over calls of libm at fixed points (its functions differ by CPU features)
// and the states of one short Meta-World rollout. Computed at the first call, in about a tenth of a
// second. Where the models are not installed the rollout is left out: the fingerprint is then
// another one, and the log says why.
const std::string& NumericFingerprint();

// Version of the MuJoCo library that runs, for example "3.3.0".
std::string MujocoVersion();

}  // namespace mentor::envs
