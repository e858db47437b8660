#include "methods/shared/perturbation.h"

#include "agents/param_layout.h"
#include "common/rng.h"

namespace mentor::methods {

using torch::Tensor;

Tensor PairPerturbation(uint64_t seed, uint32_t pair, int64_t size) {
  const RandomStream stream{.seed = seed, .purpose = Purpose::kPerturbation, .lifetime = pair};
  return agents::Normals(stream, /*number=*/0, {size}).to(torch::kFloat32);
}

Tensor Perturbed(const Tensor& weights, double sigma, uint64_t seed, uint32_t lifetime) {
  return weights +
         sigma * SignOf(lifetime) * PairPerturbation(seed, PairOf(lifetime), weights.numel());
}

}  // namespace mentor::methods
