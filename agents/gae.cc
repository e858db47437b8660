#include "agents/gae.h"

#include "common/check.h"

namespace mentor::agents {
namespace {

torch::Tensor Double(const torch::Tensor& x) {
  return x.detach().to(torch::kCPU, torch::kFloat64).contiguous();
}

}  // namespace

Advantages Gae(const torch::Tensor& rewards, const torch::Tensor& values,
               const torch::Tensor& prev_done, const torch::Tensor& last_done,
               const torch::Tensor& last_values, double gamma, double lambda,
               const Truncations& truncations) {
  const int64_t num_agents = rewards.size(0), steps = rewards.size(1);
  MENTOR_CHECK(values.sizes() == rewards.sizes() && prev_done.sizes() == rewards.sizes());
  MENTOR_CHECK(last_done.numel() == num_agents && last_values.numel() == num_agents);
  const torch::Tensor r = Double(rewards), v = Double(values), d = Double(prev_done),
                      last_d = Double(last_done), last_v = Double(last_values);
  torch::Tensor cut, final_v;
  if (truncations.truncated.defined()) {
    MENTOR_CHECK(truncations.truncated.sizes() == rewards.sizes() &&
                 truncations.final_values.sizes() == rewards.sizes());
    cut = Double(truncations.truncated);
    final_v = Double(truncations.final_values);
  }
  torch::Tensor advantages = torch::empty({num_agents, steps}, torch::kFloat64);
  torch::Tensor returns = torch::empty({num_agents, steps}, torch::kFloat64);
  const GaeInput<double> all = {
      .gamma = gamma,
      .lambda = lambda,
      .steps = steps,
      .rewards = r.const_data_ptr<double>(),
      .prev_done = d.const_data_ptr<double>(),
      .last_done = last_d.const_data_ptr<double>(),
      .values = v.const_data_ptr<double>(),
      .last_values = last_v.const_data_ptr<double>(),
      .truncated = cut.defined() ? cut.const_data_ptr<double>() : nullptr,
      .final_values = cut.defined() ? final_v.const_data_ptr<double>() : nullptr};
  for (int64_t s = 0; s < num_agents; ++s) {
    GaeOfAgent(all.Of(s), advantages.data_ptr<double>() + s * steps,
               returns.data_ptr<double>() + s * steps);
  }
  return {advantages, returns};
}

torch::Tensor GaeAdjoint(const torch::Tensor& advantages_grad, const torch::Tensor& prev_done,
                         double gamma, double lambda) {
  MENTOR_CHECK(prev_done.sizes() == advantages_grad.sizes());
  const int64_t num_agents = advantages_grad.size(0), steps = advantages_grad.size(1);
  const torch::Tensor g = Double(advantages_grad), d = Double(prev_done);
  torch::Tensor rewards_grad = torch::empty({num_agents, steps}, torch::kFloat64);
  for (int64_t s = 0; s < num_agents; ++s) {
    const double* in = g.const_data_ptr<double>() + s * steps;
    const double* done = d.const_data_ptr<double>() + s * steps;
    double* out = rewards_grad.data_ptr<double>() + s * steps;
    for (int64_t t = 0; t < steps; ++t)
      out[t] = in[t] + (t > 0 && done[t] == 0 ? gamma * lambda * out[t - 1] : 0);
  }
  return rewards_grad;
}

torch::Tensor AtTruncations(const torch::Tensor& values, const torch::Tensor& truncated) {
  const torch::Tensor is_cut = truncated.to(values.device()).ne(0);
  const torch::Tensor number = is_cut.to(torch::kInt64).cumsum(1) - 1;  // Number of the truncation.
  MENTOR_CHECK(values.size(0) == truncated.size(0) &&
               number.max().item<int64_t>() < values.size(1));
  return torch::where(is_cut, values.gather(1, number.clamp_min(0)),
                      torch::zeros({1}, values.options()));
}

}  // namespace mentor::agents
