// The meta-gradient of gamma and lambda (Xu, van Hasselt and Silver 2018;
// methods/meta_gradient/README.md#signal-networks) as a signal. The meta-parameters are two logits
// x1 and x2. The signal is the generalised advantage of the task's reward with gamma = sigmoid(x1)
// and lambda = sigmoid(x2).
#include <torch/types.h>

#include <cmath>
#include <memory>

#include "common/check.h"
#include "signals/plain_layers.h"
#include "signals/signal_network.h"

namespace mentor::signals::discount {
namespace {

using torch::Tensor;

// A [S, T] and its partial derivatives at fixed values, float64 on the CPU.
struct AdvantageWithSlopes {
  Tensor advantages, by_gamma, by_lambda;
};

Tensor OnCpu(const Tensor& x) {
  return x.detach().to(torch::kCPU, torch::kFloat64).contiguous();
}

AdvantageWithSlopes Scan(const Tensor& rewards_st, const agents::Segment& segment, double gamma,
                         double lambda) {
  const Tensor r = OnCpu(rewards_st), v = OnCpu(segment.values), start = OnCpu(segment.prev_done);
  const Tensor last_v = OnCpu(segment.last_values), last_done = OnCpu(segment.last_done);
  Tensor cut, final_v;
  if (segment.truncated.defined()) {
    MENTOR_CHECK(segment.final_values.defined());
    cut = OnCpu(segment.truncated);
    final_v = OnCpu(segment.final_values);
  }
  const int64_t lifetimes = r.size(0), steps = r.size(1);
  MENTOR_CHECK(v.sizes() == r.sizes() && last_v.numel() == lifetimes);
  AdvantageWithSlopes all{torch::empty_like(r), torch::empty_like(r), torch::empty_like(r)};
  for (int64_t s = 0; s < lifetimes; ++s) {
    const double* value = v.const_data_ptr<double>() + s * steps;
    const double* reward = r.const_data_ptr<double>() + s * steps;
    const double* begins = start.const_data_ptr<double>() + s * steps;
    double* advantage = all.advantages.mutable_data_ptr<double>() + s * steps;
    double* by_gamma = all.by_gamma.mutable_data_ptr<double>() + s * steps;
    double* by_lambda = all.by_lambda.mutable_data_ptr<double>() + s * steps;
    double a = 0, da_dgamma = 0, da_dlambda = 0;
    double next_value = last_v.const_data_ptr<double>()[s];
    double goes_on = 1 - last_done.const_data_ptr<double>()[s];
    for (int64_t t = steps - 1; t >= 0; --t) {
      if (cut.defined() && cut.const_data_ptr<double>()[s * steps + t] != 0) {
        // A limit cut the episode short: one value replaces what would have followed, without a
        // chain.
        const double final_value = final_v.const_data_ptr<double>()[s * steps + t];
        a = reward[t] + gamma * final_value - value[t];
        advantage[t] = a;
        by_gamma[t] = da_dgamma = final_value;
        by_lambda[t] = da_dlambda = 0;
        next_value = value[t];
        goes_on = 1 - begins[t];
        continue;
      }
      // The order matters: the slopes need A_{t+1}.
      da_dgamma = goes_on * (next_value + lambda * a + gamma * lambda * da_dgamma);
      da_dlambda = goes_on * (gamma * a + gamma * lambda * da_dlambda);
      a = reward[t] + gamma * goes_on * next_value - value[t] + gamma * lambda * goes_on * a;
      advantage[t] = a;
      by_gamma[t] = da_dgamma;
      by_lambda[t] = da_dlambda;
      next_value = value[t];
      goes_on = 1 - begins[t];
    }
  }
  return all;
}

struct Config {
  double gamma, lambda;
  bool critic_sees, policy_sees;
  int64_t embedding;
};

const auto kOptions = Bind<Config>(
    {{&Config::gamma, "gamma", "0.99", 1e-6, 1 - 1e-6, "Gamma at birth."},
     {&Config::lambda, "lambda", "0.95", 1e-6, 1 - 1e-6, "Lambda at birth."},
     {&Config::critic_sees, "critic_sees", true,
      "The agents' critics see gamma and lambda, so that they need not learn anew what a change of "
      "them means."},
     {&Config::policy_sees, "policy_sees", false, "So do their policies, as in the paper."},
     {&Config::embedding, "embedding", "16", 1, 256,
      "Numbers that a critic makes of gamma and lambda."}});

class DiscountNetwork : public SignalNetwork, public SignalGradient {
 public:
  DiscountNetwork(const SignalContext& context, const Config& config)
      : input_(context.input),
        initial_{Logit(config.gamma), Logit(config.lambda)},
        critic_sees_(config.critic_sees),
        policy_sees_(config.policy_sees),
        embedding_(config.embedding),
        layout_({{"logit_gamma", {1}}, {"logit_lambda", {1}}}) {}

  const SignalGradient* gradient() const override { return this; }
  bool needs_values() const override { return true; }
  const agents::ParamLayout& layout() const override { return layout_; }

  DiscountSight SightOf(const Tensor& weights) const override {
    if (!critic_sees_) return {};
    const Tensor bounded = torch::sigmoid(weights.to(torch::kFloat64));
    return {.discounts = {.embedding = embedding_,
                          .gamma = bounded[0].item<double>(),
                          .lambda = bounded[1].item<double>()},
            .policy = policy_sees_};
  }

  // The same for every seed.
  Tensor InitialWeights(uint64_t) const override {
    return torch::tensor({initial_[0], initial_[1]}, torch::kFloat64).to(torch::kFloat32);
  }

  Tensor Signals(const Tensor& weights, const agents::Segment& segment,
                 SignalState* state) const override {
    MENTOR_CHECK(segment.values.defined() && segment.last_values.defined());
    const Tensor bounded = torch::sigmoid(weights.to(torch::kFloat64));
    const Tensor gamma = bounded[0], lambda = bounded[1];
    const AdvantageWithSlopes at =
        Scan(TaskReward(segment, input_), segment, gamma.item<double>(), lambda.item<double>());
    // The value is A, and so is its first order in the weights.
    const auto here = [&](const Tensor& x) { return x.to(weights.device()); };
    const Tensor signals = (here(at.advantages) + here(at.by_gamma) * (gamma - gamma.detach()) +
                            here(at.by_lambda) * (lambda - lambda.detach()))
                               .to(weights.scalar_type());
    state->previous = signals.detach().select(1, -1).clone();
    return signals;
  }

 private:
  static double Logit(double p) { return std::log(p / (1 - p)); }

  const v1::SignalInput input_;
  const double initial_[2];
  const bool critic_sees_, policy_sees_;
  const int64_t embedding_;
  const agents::ParamLayout layout_;
};

const RegisterSignal kDiscount({
    .name = "discount",
    .summary = "Learned gamma and lambda: the advantage of the task's reward under them (Xu, van "
               "Hasselt and Silver)",
    .options = kOptions.table(),
    .make = MadeBy<DiscountNetwork>(kOptions),
    .check =
        [](const SignalContext& context, const OptionValues& options, Violations* violations) {
          const Config config = kOptions.Read(options);
          if (config.policy_sees && !config.critic_sees) {
            violations->Add("signal.option.policy_sees",
                            "is true, but the embedding that the policy sees is the critic's: set "
                            "critic_sees to true");
          }
          if (context.role != v1::ADVANTAGE)
            violations->Add("signal.role",
                            "is REWARD; gamma and lambda make an advantage of the task's reward: "
                            "give role ADVANTAGE, and name that reward by signal.input");
        },
    // It has no layers: its two weights are gamma and lambda of a generalised advantage.
    .columns =
        [](const SignalContext& context, const OptionValues&) {
          std::vector<SignalColumn> columns = {{.name = "values", .how = "of the agent's critic"},
                                               {.name = "prev_done"}};
          AddOutcomeColumns(context.input, "the task's reward, or a part of it",
                            "the task's reward, or a part of it", &columns);
          return columns;
        },
});

}  // namespace
}  // namespace mentor::signals::discount
