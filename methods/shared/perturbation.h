// How evolution strategies vary the weights. Each pair of lifetimes has one perturbation, added for
// the first and subtracted for the second. Learners and the outer rule compute it from counters, so
// only the seed travels. Pure functions.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "common/options.h"

namespace mentor::methods {

// The option sigma of the loops that perturb weights. Their rules read it too.
inline BoundOptions<double> PerturbationOptions(const std::string& sigma = "0.05") {
  return Bind<double>({{kItself, "sigma", sigma, 1e-6, 100,
                        "Standard deviation of the perturbations of the weights."}});
}

// How a positive number falls: by this factor with each outer update, never below the least one
// unless it begins there.
struct Decay {
  double factor = 1, least = 0;
};
// Options WHAT_decay and WHAT_least.
inline BoundOptions<Decay> DecayOptions(const std::string& what, const std::string& factor,
                                        const std::string& least) {
  return Bind<Decay>(
      {{&Decay::factor, what + "_decay", factor, 0.5, 1,
        "Factor of " + what + " with each outer update; 1: it stays."},
       {&Decay::least, what + "_least", least, 0, 100, "Where " + what + " stops falling."}});
}
// The number of outer update `outer_step` (from 0) that is `first` at 0.
inline double Decayed(double first, const Decay& decay, uint32_t outer_step) {
  const double least = std::min(first, decay.least);
  double now = first;
  for (uint32_t u = 0; u < outer_step && decay.factor < 1 && now > least; ++u)
    now = std::max(now * decay.factor, least);
  return now;
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
