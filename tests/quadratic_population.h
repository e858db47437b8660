// The toy problem of population based training (Jaderberg et al. 2017, section 4.1). Two members
// climb Q = 1.2 - |theta|^2 by gradients of 1.2 - h theta^2; each sees one number only.
#pragma once

#include <torch/types.h>

#include "methods/pbt/rule.h"

namespace mentor::testing {

struct QuadraticPopulation {
  double learning_rate = 0.01;
  bool exploit = true, explore = true;
  methods::Explore how = methods::Explore::kAdd;
  torch::Tensor theta = torch::full({2, 2}, 0.9, torch::kFloat64);
  torch::Tensor h = torch::eye(2, torch::kFloat64);

  // [2].
  torch::Tensor Q() const { return 1.2 - theta.square().sum(1); }
  void Step() { theta = theta - learning_rate * 2 * h * theta; }
  // The worse one copies the better one, and changes its h by these uniforms.
  void Select(double first, double second) {
    if (!exploit) return;
    const methods::Hyperparameter x{.name = "h", .log_scale = false, .low = 0, .high = 1};
    const methods::PopulationConfig config{
        .hyperparameters = {x, x}, .fraction = 0.5, .resample = 0, .explore = how};
    const torch::Tensor row =
        torch::tensor({0.5, 0.5, first, 0.5, second}, torch::kFloat64).repeat({2, 1});
    const auto selection = methods::SelectAndExplore(config, Q(), h, row);
    const torch::Tensor parents =
        torch::tensor(std::vector<int64_t>(selection.parents.begin(), selection.parents.end()));
    theta = theta.index_select(0, parents);
    h = explore ? selection.hyperparameters : h.index_select(0, parents);
  }
};

}  // namespace mentor::testing
