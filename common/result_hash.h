// The hash of a rollout unit's result. Actors send it; learners verify it and compare copies by it.
// Pure functions.
#pragma once

#include <string>

#include "mentor/v1/rollout_service.pb.h"

namespace mentor {

// SHA-256 (32 bytes). It covers each tensor of the trajectory, in the order of the fields: dtype,
// number of axes, each axis (little-endian 64-bit), then the data. Labels are covered only if
// present. The length of the final state and its bytes follow.
std::string ResultHash(const v1::Trajectory& trajectory, const std::string& final_state);

// Adds 0.01 to each number of a float64 tensor, as a peer that computes wrongly would: for the
// failpoints that make a peer lie.
void MakeWrong(v1::Tensor* tensor);

}  // namespace mentor
