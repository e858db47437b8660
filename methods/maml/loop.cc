// The agents of MAML (methods/maml/README.md#maml). All begin with the meta-learned policy and make
// one step of the plain policy gradient after each of the first K inner iterations. In the others
// they act with the adapted policy. The rule gets all steps.
#include "methods/maml/loop.h"

#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include <absl/strings/str_format.h>

#include "agents/worker_pool.h"
#include "common/check.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"

namespace mentor::methods {

namespace maml_loop {

constexpr double kDeviationFloor = 1e-8;

}  // namespace maml_loop

MonteCarlo MonteCarloAdvantages(const torch::Tensor& rewards, const torch::Tensor& prev_done,
                                double gamma, double mean_reward) {
  const int64_t steps = rewards.numel();
  const torch::Tensor r = rewards.to(torch::kCPU, torch::kFloat64).contiguous(),
                      done = prev_done.to(torch::kCPU, torch::kFloat64).contiguous();
  MonteCarlo result{torch::empty_like(r), torch::empty_like(r), {}};
  const double *reward = r.const_data_ptr<double>(), *starts = done.const_data_ptr<double>();
  double *returns = result.returns.mutable_data_ptr<double>(),
         *baseline = result.baseline.mutable_data_ptr<double>();
  double next_return = 0, next_baseline = 0;
  for (int64_t t = steps - 1; t >= 0; --t) {
    const double go_on = t + 1 < steps ? gamma * (1 - starts[t + 1]) : 0;
    returns[t] = next_return = reward[t] + go_on * next_return;
    baseline[t] = next_baseline = mean_reward + go_on * next_baseline;
  }
  const torch::Tensor difference = result.returns - result.baseline;
  result.advantages = (difference - difference.mean()) /
                      (difference.std(/*unbiased=*/true) + maml_loop::kDeviationFloor);
  return result;
}

torch::Tensor PolicyGradientLoss(const StateStdPolicy& policy, const torch::Tensor& weights,
                                 const PolicyGradientData& data) {
  const torch::Tensor log_probs = LogProb(policy.Forward(weights, data.observations), data.actions);
  if (!data.old_log_probs.defined()) return -(log_probs * data.advantages).mean();
  return -((log_probs - data.old_log_probs).exp() * data.advantages).mean();
}

torch::Tensor GradientStep(const StateStdPolicy& policy, const torch::Tensor& weights,
                           const PolicyGradientData& data, double learning_rate) {
  const bool differentiable = weights.requires_grad();
  const c10::AutoGradMode gradients_on(true);
  const torch::Tensor at = differentiable ? weights : weights.detach().clone().requires_grad_();
  const torch::Tensor gradient =
      torch::autograd::grad({PolicyGradientLoss(policy, at, data)}, {at}, /*grad_outputs=*/{},
                            /*retain_graph=*/differentiable, /*create_graph=*/differentiable)[0];
  if (differentiable) return at - learning_rate * gradient;
  return (at - learning_rate * gradient).detach();
}

namespace maml_loop {

const auto kOptions = Bind<AdaptationConfig>(
    {{&AdaptationConfig::steps, "adaptation_steps", "2", 1, 1000,
      "Inner iterations with a gradient step after them; the others act with the adapted policy."},
     {&AdaptationConfig::learning_rate, "adaptation_rate", "0.07", 0, 1000,
      "Learning rate of an adaptation step, plain gradient descent."},
     {&AdaptationConfig::shaped,
      "adaptation_reward",
      {{"success", false}, {"shaped", true}},
      "What agents adapt to: the sparse success signal or the raw shaped reward."},
     {&AdaptationConfig::gamma, "gamma", "0.995", 0, 1,
      "Discount per step, of adaptation and of the meta-objective."},
     {In(&AdaptationConfig::policy, &StateStdPolicy::Shape::hidden_units), "hidden_units", "128", 1,
      4096, "Units of each hidden layer of the policy; `agent` describes the baselines."}});

}  // namespace maml_loop

AdaptationConfig ReadAdaptation(const OptionValues& options, const v1::EnvironmentShape& shape) {
  return maml_loop::kOptions.Read(options, {.policy = {.observation_size = shape.observation_size(),
                                                       .action_size = shape.action_size(),
                                                       .discrete = shape.discrete_actions()}});
}

void CheckAdaptation(const AdaptationConfig& config, const v1::ExperimentSpec& spec,
                     Violations* violations) {
  const int64_t iterations = spec.lifetime().iterations();
  if (iterations > config.steps) return;
  violations->Add(
      "rule.option.adaptation_steps",
      absl::StrFormat("is %d; a lifetime has %d iterations, and at least one must follow the "
                      "adaptation, to show its effect; lower it or raise lifetime.iterations",
                      config.steps, iterations));
}

int64_t GraphNumbersPerStep(const StateStdPolicy::Shape& policy) {
  return policy.observation_size + 8 * policy.hidden_units + 4 * policy.action_size + 16;
}

torch::Tensor AdaptationRewards(const AdaptationConfig& config, const agents::Segment& segment) {
  return config.shaped ? segment.shaped_rewards : segment.success_signals;
}

PolicyGradientData AdaptationData(const AdaptationConfig& config, const agents::Segment& segment,
                                  int64_t agent, int64_t begin, int64_t num_steps,
                                  double mean_reward) {
  // Copies, so that learner and meta-learner compute on equal memory layouts.
  const auto steps = [&](const torch::Tensor& x) {
    return x[agent].narrow(0, begin, num_steps).clone();
  };
  const torch::Tensor observations = steps(segment.observations);
  return {.observations = observations,
          .actions = steps(segment.actions),
          .advantages = MonteCarloAdvantages(steps(AdaptationRewards(config, segment)),
                                             steps(segment.prev_done), config.gamma, mean_reward)
                            .advantages.to(observations.scalar_type()),
          .old_log_probs = {}};
}

torch::Tensor Adapt(const AdaptationConfig& config, const StateStdPolicy& policy,
                    const torch::Tensor& weights, const PolicyGradientData& data) {
  torch::Tensor adapted = GradientStep(policy, weights, data, config.learning_rate);
  return adapted.isfinite().all().item<bool>() ? adapted : weights;
}

namespace maml_loop {

class Adaptation : public InnerLoop {
 public:
  explicit Adaptation(const InnerLoopContext& context)
      : InnerLoop(context),
        config_(ReadAdaptation(context.options, context.shape())),
        policy_(config_.policy) {}

  void Begin() override {
    const int64_t size = policy_.layout().size();
    // On the CPU, as in the meta-learner: one small gradient for each agent.
    const torch::Tensor meta_parameters = context_.meta_parameters.cpu();
    mean_reward_ = meta_parameters[size].item<double>();
    weights_.assign(context_.num_agents(), meta_parameters.narrow(0, 0, size).clone());
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(agents::Segment segment, collect(Policies()));
    segment.signals = AdaptationRewards(config_, segment).to(torch::kFloat32);
    if (iteration >= config_.steps) return segment;
    const CpuTimer timer;
    std::vector<double> lengths(weights_.size());
    MENTOR_RETURN_IF_ERROR(
        agents::ParallelFor(context_.pool, context_.num_agents(), [&](int64_t s) {
          const torch::Tensor adapted =
              Adapt(config_, policy_, weights_[s],
                    AdaptationData(config_, segment, s, 0, context_.steps(), mean_reward_));
          lengths[s] = (adapted - weights_[s]).norm().item<double>();
          weights_[s] = adapted;
          return absl::OkStatus();
        }));
    double sum = 0;
    for (double length : lengths) sum += length;
    report->statistics[absl::StrFormat("adaptation_length_%d", iteration)] =
        sum / static_cast<double>(lengths.size());
    report->update_seconds += timer.Seconds();
    return segment;
  }

  std::vector<v1::PolicyWeights> Policies() const override {
    std::vector<v1::PolicyWeights> policies;
    for (const torch::Tensor& weights : weights_) policies.push_back(policy_.ToProto(weights));
    return policies;
  }

  void State(StateFields* fields) override {
    std::vector<torch::Tensor*> weights;
    for (torch::Tensor& own : weights_) weights.push_back(&own);
    fields->AddStacked("agents.weights", weights);
  }

 private:
  const AdaptationConfig config_;
  const StateStdPolicy policy_;
  double mean_reward_ = 0;              // m
  std::vector<torch::Tensor> weights_;  // [P] for each agent; replaced, never written to
};

const RegisterInnerLoop kAdaptation({
    .name = "adaptation",
    .summary = "Plain policy gradient steps from meta-learned initial weights (MAML)",
    .options = kOptions.table(),
    .metrics = {{.name = "adaptation_length_*",
                 .help = "Distance between the weights before and after that adaptation step, mean "
                         "over agents."}},
    .check =
        [](const InnerLoopContext& context, Violations* violations) {
          const AdaptationConfig config = ReadAdaptation(context.options, context.shape());
          CheckAdaptation(config, context.spec(), violations);
          CheckMetaParameters(context, StateStdPolicy(config.policy).layout().size() + 1,
                              "a policy with its mean reward", violations);
        },
    .make = MadeLoop<Adaptation>,
    .sizes = [](const InnerLoopContext& context, int64_t) -> LoopSizes {
      const StateStdPolicy::Shape policy = ReadAdaptation(context.options, context.shape()).policy;
      const int64_t size = StateStdPolicy(policy).layout().size();
      // The gradient of one agent's step runs over all its steps at once.
      return {.state = 2 * size,
              .saved = size,
              .policy = size,
              .per_thread = 4 * size + 3 * context.steps() * GraphNumbersPerStep(policy)};
    },
});

}  // namespace maml_loop
}  // namespace mentor::methods
