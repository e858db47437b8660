// The fingerprint of this machine's arithmetic where no rule fixes it. Equal fingerprints mean
// equal bits in simulations, so units may run on either machine. Thread-safe.
#pragma once

#include <string>

namespace mentor::envs {

// SHA-256 in hexadecimal over calls of libm at fixed points, whose functions differ by CPU
// features, and over the states of one short Meta-World rollout. The first call computes it, in
// about a tenth of a second. Without the models the rollout is left out: the fingerprint then
// differs, and the log says why.
const std::string& NumericFingerprint();

// Version of the MuJoCo library that runs, for example "3.3.0".
std::string MujocoVersion();

}  // namespace mentor::envs
