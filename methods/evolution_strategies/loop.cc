// The inner PPO (methods/ppo/loop.cc) with a signal network for each agent: the meta-parameters
// plus or minus sigma times a perturbation (methods/evolution_strategies/README.md). Signals are
// means: perturbed weights replace perturbed signals. Frozen meta-parameters are used as they are.
#include <torch/types.h>

#include <memory>
#include <utility>
#include <vector>

#include "common/check.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/shared/perturbation.h"
#include "signals/signal_network.h"

namespace mentor::methods::evolution_strategies_loop {

using torch::Tensor;

namespace {

// One network for all agents of a shard; row s of its weights belongs to agent s.
class PerturbedNetwork : public signals::SignalNetwork, public signals::SignalSource {
 public:
  PerturbedNetwork(std::shared_ptr<const signals::SignalNetwork> network, double sigma,
                   uint64_t seed, std::vector<uint32_t> lifetimes)
      : network_(std::move(network)),
        sigma_(sigma),
        seed_(seed),
        lifetimes_(std::move(lifetimes)) {}

  const signals::SignalSource* signals() const override { return this; }
  const agents::ParamLayout& layout() const override { return network_->layout(); }
  Tensor InitialWeights(uint64_t seed) const override { return network_->InitialWeights(seed); }
  signals::SignalState InitialState(int64_t num_lifetimes, torch::Dtype dtype) const override {
    return network_->signals()->InitialState(num_lifetimes, dtype);
  }

  bool sees_normalised() const override { return network_->signals()->sees_normalised(); }
  signals::SignalOutputs Run(const Tensor& weights, const agents::Segment& segment, const Tensor&,
                             signals::SignalState* state) const override {
    std::vector<Tensor> signals, previous;
    std::vector<std::vector<Tensor>> recurrent(state->recurrent.size());
    for (size_t s = 0; s < lifetimes_.size(); ++s) {
      const auto agent = static_cast<int64_t>(s);
      signals::SignalState own = signals::SomeLifetimes(*state, agent, 1);
      signals.push_back(network_->signals()
                            ->Run(Perturbed(weights, sigma_, seed_, lifetimes_[s]),
                                  agents::SomeLifetimes(segment, agent, 1), /*noise=*/{}, &own)
                            .signals);
      for (size_t i = 0; i < recurrent.size(); ++i) recurrent[i].push_back(own.recurrent[i]);
      previous.push_back(own.previous);
    }
    for (size_t i = 0; i < recurrent.size(); ++i) state->recurrent[i] = torch::cat(recurrent[i]);
    state->previous = torch::cat(previous);
    return {.signals = torch::cat(signals), .log_probs = {}, .values = {}};
  }

 private:
  const std::shared_ptr<const signals::SignalNetwork> network_;
  const double sigma_;
  const uint64_t seed_;
  const std::vector<uint32_t> lifetimes_;  // Numbers of the shard's lifetimes.
};

const RegisterInnerLoop kPerturbedPpo({
    .name = "perturbed_ppo",
    .summary = "PPO as in ppo, each agent taught by its own perturbed signal network",
    .options = PerturbationOptions().table(),
    .surrogate = true,
    .make = [](const InnerLoopContext& context) -> std::unique_ptr<InnerLoop> {
      const InnerLoopEntry* ppo = FindInnerLoop("ppo");
      MENTOR_CHECK(ppo != nullptr && context.network != nullptr);
      InnerLoopContext own = context;
      if (context.shard->outer_learning()) {
        own.network = std::make_shared<PerturbedNetwork>(
            context.network, PerturbationOptions().Read(context.options), context.spec().seed(),
            context.lifetime_numbers());
      }
      return ppo->make(own);
    },
    .sizes = [](const InnerLoopContext& context, int64_t num_meta_parameters) -> LoopSizes {
      LoopSizes sizes = SizesOfPpoAgents(context);
      // Networks run one after the other: normals in both precisions, their multiple, the weights.
      sizes.at_once += 6 * num_meta_parameters;
      return sizes;
    },
    .unread = UnreadWithoutCritic,
});

}  // namespace
}  // namespace mentor::methods::evolution_strategies_loop
