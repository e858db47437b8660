// The outer loss of gradient rules: how well agents do the task, as a differentiable function of
// their parameters (methods/meta_gradient/README.md#outer-objective). The advantages are constants,
// from the extrinsic reward and critic. Entropy and KL are absent because they do not measure
// extrinsic return (methods/meta_gradient/README.md#reading-outer-terms). Pure functions, generic
// in dtype and device; threads may share.
#pragma once

#include <torch/types.h>

#include "agents/param_layout.h"

namespace mentor::methods {

struct OuterConfig {
  enum class Form {
    kClippedRatio,    // -mean min(rho A, clamp(rho) A)
    kRatio,           // -mean rho A (LIRPG on Atari)
    kPolicyGradient,  // -mean A ln pi, whichever policy collected the rows (meta-gradient of gamma)
    kValueError,      // mean (G - v)^2 of the agents' own critic (Weng 2019; Xu et al. 2018)
  };
  Form form = Form::kClippedRatio;
  double clip = 0.2;
  // (A - mean) / (max(std, advantage_std_floor) + 1e-8) over each agent's rows. Without a floor a
  // segment without successes scales the critic's errors up to the size of a success.
  bool normalize_advantage = true;
  double advantage_std_floor = 0;
  int64_t advantage_ddof = 1;
  // Weight of half the mean squared error of the agents' own values against `returns`.
  double value_coef = 0;
};

struct OuterRows {
  torch::Tensor observations;  // [S, N, D]
  torch::Tensor actions;       // [S, N, A]
  torch::Tensor log_probs;     // [S, N]: of the policy that collected them
  torch::Tensor advantages;    // [S, N]: extrinsic, not standardised
  torch::Tensor returns;       // [S, N]: G, read with value_coef and by kValueError only

  OuterRows Agents(int64_t first, int64_t count) const;
};

// Numbers for each agent, [S], without a graph.
struct OuterStatistics {
  // Share of rows whose ratio is beyond the clip range. Near 1, the update went too far for a
  // gradient (methods/meta_gradient/README.md#numerical-traps, 5).
  torch::Tensor clip_fraction;
  torch::Tensor advantage_std;      // Before standardisation.
  torch::Tensor advantage_floored;  // 1 where advantage_std_floor replaced it, else 0.
};

// Returns the loss [S] to be minimised. Fills *statistics unless null.
torch::Tensor OuterLoss(const agents::ParamLayout& layout, const torch::Tensor& theta,
                        const OuterRows& rows, const OuterConfig& config,
                        OuterStatistics* statistics = nullptr);

}  // namespace mentor::methods
