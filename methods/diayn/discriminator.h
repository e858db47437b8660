// Tells skills apart by the observations that an agent reaches (DIAYN, methods/diayn/README.md):
// the log-probabilities ln q(z | o) of n skills. Only the inner loop, which knows the acting skill,
// can make a signal of it. Immutable; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "signals/signal_network.h"

namespace mentor::methods {

class Discriminator : public signals::SignalNetwork {
 public:
  Discriminator(int64_t observation_size, int64_t hidden_units, int64_t num_skills);

  const agents::ParamLayout& layout() const override { return layout_; }
  torch::Tensor InitialWeights(uint64_t seed) const override;

  int64_t num_skills() const { return num_skills_; }
  // observations [..., D] -> [..., n], differentiable, in the dtype of the weights [P].
  virtual torch::Tensor LogSkills(const torch::Tensor& weights,
                                  const torch::Tensor& observations) const;

 private:
  const int64_t num_skills_;
  const agents::ParamLayout layout_;
};

// Returns the network as a discriminator; null when it is none.
std::shared_ptr<const Discriminator> AsDiscriminator(
    const std::shared_ptr<const signals::SignalNetwork>& network);

}  // namespace mentor::methods
