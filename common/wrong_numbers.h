// What a peer that computes wrongly would send: finite numbers that are a little off. For the
// failpoints that make a peer lie. Pure functions.
#pragma once

#include "mentor/v1/tensor.pb.h"

namespace mentor {

// Adds 0.01 to each number of a float64 tensor.
void MakeWrong(v1::Tensor* tensor);

}  // namespace mentor
