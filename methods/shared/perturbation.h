// How evolution strategies vary the weights. Each pair of lifetimes has one perturbation, added for
// the first and subtracted for the second. Learners and the outer rule compute it from counters, so
// only the seed travels. Pure functions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "common/options.h"

namespace mentor::methods {

// The option sigma of the loops that perturb weights. Their rules read it too.
inline BoundOptions<double> PerturbationOptions(const std::string& sigma = "0.05") {
  return Bind<double>({{kItself, "sigma", sigma, 1e-6, 100,
                        "Standard deviation of the perturbations of the weights."}});
}

// A pair's standard normals, [Q] float32.
torch::Tensor PairPerturbation(uint64_t seed, uint32_t pair, int64_t size);
inline uint32_t PairOf(uint32_t lifetime) {
  return lifetime / 2;
}
inline double SignOf(uint32_t lifetime) {
  return lifetime % 2 == 0 ? 1 : -1;
}
// The weights [Q] by which a lifetime lives.
torch::Tensor Perturbed(const torch::Tensor& weights, double sigma, uint64_t seed,
                        uint32_t lifetime);

}  // namespace mentor::methods
