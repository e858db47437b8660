// Reptile (Nichol, Achiam and Schulman 2018; methods/reptile/README.md#the-update). The
// meta-parameters are the initial weights of agents. They move towards the weights that learning
// agents end with,
//
//   phi <- phi + eps mean_i (W_i - phi),   eps falls linearly over the outer updates.
//
// There are no second derivatives, and no split into adaptation and test: agents learn by plain PPO
// (methods/reptile/loop.cc).
#include <torch/types.h>

#include "methods/base/loop_parts.h"
#include "methods/base/outer_rule.h"

namespace mentor::methods::reptile_rule {
namespace {

using torch::Tensor;

struct Config {
  double first_rate, last_rate;  // eps before the first and after the last update.
};

const auto kOptions =
    Bind<Config>({{&Config::first_rate, "outer_rate", "1", 0, 10,
                   "Share of the mean displacement taken by the first outer update."},
                  {&Config::last_rate, "final_outer_rate", "0", 0, 10,
                   "What that falls to, linearly, after the last outer update."}});

class Reptile : public OuterRule {
 public:
  explicit Reptile(const RuleContext& context)
      : OuterRule(context),
        config_(kOptions.Read(context.options)),
        updates_(context.outer_updates()),
        lifetimes_(context.lifetimes()),
        weights_(context.InitialAgent(ShapeOfAgents(context.spec.agent(), context.shape))) {}

  RuleNeeds needs() const override {
    return {.network = RuleNeeds::Network::kNone, .segments = false};
  }
  Tensor meta_parameters() const override { return weights_; }

  void State(StateFields* fields) override { fields->Add("weights", &weights_); }

 private:
  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) override {
    MENTOR_ASSIGN_OR_RETURN(const Tensor sum, SumGradients(batch, lifetimes_, weights_.numel()));
    if (!sum.defined()) return absl::InvalidArgumentError("the agents' displacements are missing");
    const Tensor mean = sum / static_cast<double>(lifetimes_);
    const double rate = RateOf(outer_step);
    const Tensor weights = (weights_.to(torch::kFloat64) + rate * mean).to(torch::kFloat32);
    if (!weights.isfinite().all().item<bool>())
      return absl::InvalidArgumentError("the agents' displacements are not finite");
    weights_ = weights;
    return RuleReport{{"outer_rate", rate}, {"mean_displacement", mean.norm().item<double>()}};
  }

  double RateOf(uint32_t outer_step) const {
    return config_.first_rate + (config_.last_rate - config_.first_rate) * outer_step / updates_;
  }

  // Fixed after construction.
  const Config config_;
  const double updates_;
  const int64_t lifetimes_;
  // Changed by Update and Load.
  Tensor weights_;  // [P] float32; replaced, never written to
};

void Check(const RuleContext& context, Violations* violations) {
  if (context.iterations() < 2) {
    violations->Add("lifetime.iterations",
                    "is 1; an evaluated agent learns after all iterations but the last, so "
                    "nothing of the learned weights would show; give at least 2");
  }
  if (context.spec.agent().normalize_observations()) {
    violations->Add("agent.normalize_observations",
                    "is true; the learned weights would meet raw observations first and "
                    "normalised ones later; give false");
  }
}

const RegisterRule kReptile({
    .name = "reptile",
    .summary = "Initial weights of agents, moved to where learning ends (Nichol et al.)",
    .inner_loop = "displacement",
    .options = kOptions.table(),
    .metrics = {{.name = "outer_rate", .help = "Share of the mean displacement taken."},
                {.name = "mean_displacement",
                 .help = "Norm of the mean over agents of how far their weights went."}},
    .check = Check,
    .make = MadeRule<Reptile>,
});

}  // namespace
}  // namespace mentor::methods::reptile_rule
