// How evolution strategies vary the weights: each pair of lifetimes has one perturbation, added for
// the first and subtracted for the second. It is computed from counters where it is needed, by
// learners and by the outer rule, so only the seed travels. Pure functions.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace mentor::learner {

// Standard normals [Q] float32 of a pair.
torch::Tensor PairPerturbation(uint64_t seed, uint32_t pair, int64_t size);
inline uint32_t PairOf(uint32_t lifetime) {
  return lifetime / 2;
}
inline double SignOf(uint32_t lifetime) {
  return lifetime % 2 == 0 ? 1 : -1;
}

}  // namespace mentor::learner
