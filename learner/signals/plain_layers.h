// Pieces that signal networks in plain LibTorch share: new weights, densities, where in its episode
// a step lies. Pure functions; threads may share.
#pragma once

#include <torch/types.h>

#include <functional>
#include <string>

#include "common/options.h"
#include "learner/agents/param_layout.h"

namespace mentor::learner {

// New weights [P] float32: every matrix orthogonal with the gain that `gain` gives for its name,
// from keyed normals; all else 0.
torch::Tensor OrthogonalWeights(const ParamLayout& layout, uint64_t seed,
                                const std::function<double(const std::string&)>& gain);

// Log-density of a normal distribution; any shapes that broadcast.
torch::Tensor LogDensity(const torch::Tensor& y, const torch::Tensor& mean,
                         const torch::Tensor& log_std);

// [S, T] float64: how many steps of its episode came before each step. prev_done [S, T]; *steps [S]
// the same for the step after the last segment (0 at birth; advanced past this one), which
// prev_done overrules where an episode begins.
torch::Tensor EpisodeSteps(const torch::Tensor& prev_done, torch::Tensor* steps);

// A layer's size in a table of options.
OptionInfo UnitsOption(std::string name, std::string value, int64_t min, std::string help);

}  // namespace mentor::learner
