// The outer loss of gradient rules: how good agents are for the task, as a differentiable function
// of their parameters (docs/algorithms/meta_gradient.md#outer-objective). The advantages are
// constants: of the extrinsic reward alone, with the extrinsic critic. No entropy and no KL: they
// do not measure extrinsic return (docs/algorithms/meta_gradient.md#reading-outer-terms). Pure
// functions, generic in dtype and device; threads may share.
#pragma once

#include <torch/types.h>

#include "learner/agents/param_layout.h"

namespace mentor::learner {

struct OuterConfig {
  enum class Form {
    kClippedRatio,    // -mean min(rho A, clamp(rho) A)
    kRatio,           // -mean rho A (LIRPG on Atari)
    kPolicyGradient,  // -mean A ln pi, whatever collected the rows (meta-gradient of gamma)
  };
  Form form = Form::kClippedRatio;
  double clip = 0.2;
  // (A - mean) / (max(std, advantage_std_floor) + 1e-8) of each agent's rows. Without a floor what
  // a critic is wrong by becomes as large as a success, where a segment has none.
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
  torch::Tensor returns;       // [S, N]: read with value_coef only

  OuterRows Agents(int64_t first, int64_t count) const;
};

// Numbers of each agent, [S], without a graph.
struct OuterStatistics {
  // Rows whose ratio is beyond the clip range. A share near 1 means that the update went too far
  // for a gradient (docs/algorithms/meta_gradient.md#numerical-traps, 5).
  torch::Tensor clip_fraction;
  torch::Tensor advantage_std;      // Before standardisation.
  torch::Tensor advantage_floored;  // 1 where advantage_std_floor took its place, else 0.
};

// [S], to be minimised. *statistics unless null.
torch::Tensor OuterLoss(const ParamLayout& layout, const torch::Tensor& theta,
                        const OuterRows& rows, const OuterConfig& config,
                        OuterStatistics* statistics = nullptr);

}  // namespace mentor::learner
