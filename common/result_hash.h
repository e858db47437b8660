// The hash of a rollout unit's answer: actors send it, learners check it and compare copies by it.
// Pure functions.
#pragma once

#include <string>

#include "mentor/v1/rollout_service.pb.h"

namespace mentor {

// SHA-256 (32 bytes) over, for each tensor of the trajectory in the order of its fields: dtype,
// number of axes, each axis (little-endian 64-bit), the data; labels only where there are some;
// then the length of the final state and its bytes.
std::string ResultHash(const v1::Trajectory& trajectory, const std::string& final_state);

}  // namespace mentor
