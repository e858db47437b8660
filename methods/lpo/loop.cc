// Agents of learnt policy optimisation (Lu et al. 2022; methods/lpo/README.md#the-inner-update).
// They learn as those of the inner PPO, but a learned drift takes the place of the clip:
//
//   loss of the policy = -mean(r A - f(r, A))
//
// In training each agent has a drift of its own, from phi plus or minus sigma times a perturbation,
// as in methods/evolution_strategies/loop.cc. Frozen meta-parameters are used as they are.
#include "methods/lpo/loop.h"

#include <torch/types.h>

#include <algorithm>
#include <memory>
#include <vector>

#include <absl/strings/str_format.h>

#include "agents/ppo.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/lpo/drift.h"

namespace mentor::methods {

using torch::Tensor;

const BoundOptions<DriftNoise>& DriftNoiseOptions() {
  static const auto* const options =
      new auto(Bind<DriftNoise>({{&DriftNoise::sigma, PerturbationOptions("0.04")},
                                 {&DriftNoise::decay, DecayOptions("sigma", "0.999", "0.01")}}));
  return *options;
}

namespace lpo_loop {

class DriftingPpo : public LearningLoop {
 public:
  explicit DriftingPpo(const InnerLoopContext& context)
      : LearningLoop(context, ShapeWithCritic(context)), drift_(AsDrift(context.network)) {}

  void Begin() override {
    LearningLoop::Begin();
    weights_ = Weights();
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    return CollectAndLearn(collect, report, [&](const agents::Segment& segment) {
      return LearnsAfter(iteration) ? Update(iteration, segment, report) : absl::OkStatus();
    });
  }

 private:
  // [S, Q].
  Tensor Weights() const {
    const Tensor& phi = context_.meta_parameters;
    if (!context_.shard->outer_learning()) return phi.expand({context_.num_agents(), phi.numel()});
    const DriftNoise noise = DriftNoiseOptions().Read(context_.options);
    std::vector<Tensor> rows;
    for (const uint32_t number : context_.lifetime_numbers()) {
      const double sigma =
          Decayed(noise.sigma, noise.decay, number / spec().rule().lifetimes_per_update());
      rows.push_back(Perturbed(phi, sigma, spec().seed(), number));
    }
    return torch::stack(rows);
  }

  absl::Status Update(uint32_t iteration, const agents::Segment& segment, LoopReport* report) {
    const agents::PpoConfig config =
        agents::PpoConfigFromSpec(spec().agent(), /*update=*/iteration + 1,
                                  /*num_updates=*/spec().lifetime().iterations() - 1);
    Tensor drifts = torch::zeros({context_.num_agents()}, torch::kFloat64);  // Sums over steps.
    const auto policy_loss = [&](const Tensor& log_ratio, const Tensor& advantages) {
      const Tensor drift = drift_->Drift(weights_, log_ratio, advantages, config.clip);
      drifts += drift.detach().to(torch::kFloat64).mean(1);
      return drift - log_ratio.exp() * advantages;
    };
    MENTOR_ASSIGN_OR_RETURN(const agents::UpdateResult result,
                            agents::PpoUpdate(shape_, agents_, normaliser_.Normalise(segment),
                                              signals::TaskReward(segment, spec().signal().input()),
                                              config, context_.Order(iteration),
                                              {.pool = context_.pool, .policy_loss = policy_loss}));
    agents_ = result.agents;
    Report(result, drifts, report);
    return absl::OkStatus();
  }

  static void Report(const agents::UpdateResult& result, const Tensor& drifts, LoopReport* report) {
    report->nonfinite_updates += static_cast<uint64_t>(result.nonfinite);
    const double* drift = drifts.const_data_ptr<double>();
    double agents = 0, mean_drift = 0, kl = 0, clipped = 0;
    for (size_t s = 0; s < result.reports.size(); ++s) {
      const agents::AgentReport& one = result.reports[s];
      if (one.nonfinite) continue;
      ++agents;
      mean_drift += drift[s] / static_cast<double>(result.trace.size(1));
      kl += one.approx_kl;
      clipped += one.clip_fraction;
    }
    if (agents == 0) return;
    report->statistics["drift"] = mean_drift / agents;
    report->statistics["approx_kl"] = kl / agents;
    report->statistics["beyond_clip"] = clipped / agents;
  }

  const std::shared_ptr<const DriftNetwork> drift_;
  Tensor weights_;  // [S, Q]: of each agent's drift, all its life
};

LoopSizes Sizes(const InnerLoopContext& context, int64_t num_meta_parameters) {
  const agents::AgentShape shape = ShapeWithCritic(context);
  const int64_t p = agents::AgentLayout(shape).size(), steps = context.steps();
  const int64_t minibatches = context.spec().agent().minibatches();
  const int64_t rows = std::min(steps, 2 * (steps / std::max<int64_t>(1, minibatches) + 1));
  LoopSizes sizes = SizesOfPpoAgents(context);
  sizes.device_bytes = 0;
  // The agent's drift, and its perturbation in double while that is made.
  sizes.state += num_meta_parameters;
  sizes.at_once += 6 * num_meta_parameters;
  // Autograd updates all agents side by side, each with its copy and gradient of the drift.
  sizes.at_once +=
      context.num_agents() *
      (9 * p + 2 * num_meta_parameters +
       2 * rows * (GraphNumbersPerStep(shape) + context.network->NumbersPerStep(/*graph=*/true)));
  return sizes;
}

const RegisterInnerLoop kDriftingPpo({
    .name = "drifting_ppo",
    .summary = "PPO with a learned drift in place of the clip, each agent its own perturbed one",
    .options = DriftNoiseOptions().table(),
    .metrics =
        {{.name = "drift",
          .help = "Drift in the last update, mean over its steps and over agents.",
          .log_scale = true},
         {.name = "approx_kl",
          .unit = "nat",
          .help = "KL divergence of the policy from the one that collected, as PPO estimates it: "
                  "mean over the last update's steps and over agents.",
          .log_scale = true},
         {.name = "beyond_clip",
          .help = "Share of steps whose ratio is further from 1 than agent.clip, mean over the "
                  "last update's steps and over agents."}},
    .network = "drift",
    .check =
        [](const InnerLoopContext& context, Violations* violations) {
          if (AsDrift(context.network) == nullptr)
            violations->Add("signal.name", "is no drift, by which these agents learn: set drift");
        },
    .make = MadeLoop<DriftingPpo>,
    .sizes = Sizes,
});

}  // namespace lpo_loop
}  // namespace mentor::methods
