// The registered parts that a spec names, and their demands on the spec and on each other.
// Functions without state.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "common/violations.h"
#include "envs/benchmark.h"
#include "kernels/device.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/curricula/curriculum.h"
#include "meta_learner/store/checkpoint.h"
#include "methods/base/outer_rule.h"
#include "signals/signal_network.h"

namespace mentor::meta_learner {

// A member is null where the spec does not fit.
struct ExperimentParts {
  std::unique_ptr<envs::Benchmark> benchmark;
  std::shared_ptr<const signals::SignalNetwork> network;
  std::unique_ptr<methods::OuterRule> rule;
  std::unique_ptr<Curriculum> curriculum;  // Also null where the spec names none.
};

// Adds violations where the spec, which has its defaults, does not fit. pool and device serve the
// outer update; a null pool runs on the calling thread.
ExperimentParts MakeParts(const v1::ExperimentSpec& spec, agents::WorkerPool* pool,
                          Violations* violations, const kernels::Device& device = {});

// The same for looking at parts only: weights are zeros (RuleContext::draws_weights).
ExperimentParts LookAtParts(const v1::ExperimentSpec& spec, Violations* violations);

// Writes the states of parts into a checkpoint's sections, and reads them back. An error leaves
// them undefined.
void AddParts(const ExperimentParts& parts, std::map<std::string, std::string>* sections);
absl::Status LoadParts(const Checkpoint& checkpoint, ExperimentParts* parts);

// The mean of the meta-parameters [Q] in these checkpoints of a run of the spec; undefined without
// any. DATA_LOSS names a file that is damaged or of another run.
absl::StatusOr<torch::Tensor> AverageParameters(const std::vector<std::filesystem::path>& files,
                                                const v1::ExperimentSpec& spec);

}  // namespace mentor::meta_learner
