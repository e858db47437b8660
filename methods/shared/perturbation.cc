#include "methods/shared/perturbation.h"

#include <cstddef>

#include "common/rng.h"

namespace mentor::methods {

using torch::Tensor;

Tensor PairPerturbation(uint64_t seed, uint32_t pair, int64_t size) {
  Tensor normals = torch::empty({size}, torch::kFloat64);
  const RandomStream stream{.seed = seed, .purpose = Purpose::kPerturbation, .lifetime = pair};
  stream.Normals(/*step=*/0,
                 {normals.mutable_data_ptr<double>(), static_cast<size_t>(normals.numel())});
  return normals.to(torch::kFloat32);
}

Tensor Perturbed(const Tensor& weights, double sigma, uint64_t seed, uint32_t lifetime) {
  return weights +
         sigma * SignOf(lifetime) * PairPerturbation(seed, PairOf(lifetime), weights.numel());
}

}  // namespace mentor::methods
