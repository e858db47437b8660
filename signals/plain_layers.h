// Common pieces of signal networks in plain LibTorch: new weights, densities, a step's place in its
// episode. Pure functions; threads may share.
#pragma once

#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

#include "agents/param_layout.h"
#include "signals/signal_network.h"

namespace mentor::signals {

// New weights [P] float32 from keyed normals: every matrix orthogonal, with the gain of its name;
// all else 0.
torch::Tensor OrthogonalWeights(const agents::ParamLayout& layout, uint64_t seed,
                                const std::function<double(const std::string&)>& gain);

// Log-density of a normal distribution; any shapes that broadcast.
torch::Tensor LogDensity(const torch::Tensor& y, const torch::Tensor& mean,
                         const torch::Tensor& log_std);

// [S, T] float64: steps of the episode before each step. prev_done [S, T]. *steps [S] holds the
// number for the step after the last segment (0 at birth) and advances past this one; where an
// episode begins, prev_done overrules it.
torch::Tensor EpisodeSteps(const torch::Tensor& prev_done, torch::Tensor* steps);

// Steps that belong together for a network that sees later steps of an episode: whole episodes, or
// whole segments where episodes end anywhere.
int64_t StepsSeenWhole(const SignalContext& context);

// Columns of observation and action, which most networks see first; of the outcomes of
// OutcomeFeatures; and of the elapsed share of the episode.
std::vector<SignalColumn> StepColumns(const SignalContext& context);
void AddOutcomeColumns(v1::SignalInput input, const std::string& how_success,
                       const std::string& how_shaped, std::vector<SignalColumn>* columns);
SignalColumn TimeColumn();

// The greatest size of a layer that an option may set.
constexpr double kUnitsMax = 4096;

}  // namespace mentor::signals
