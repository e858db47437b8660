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
  std::shared_ptr<const learner::SignalNetwork> network;
  std::unique_ptr<OuterRule> rule;
  std::unique_ptr<Curriculum> curriculum;  // Also null where the spec names none.
};

// Adds violations where the spec does not fit. pool and device serve the outer update; a null pool
// runs on the calling thread.
ExperimentParts MakeParts(const v1::ExperimentSpec& spec, learner::WorkerPool* pool,
                          Violations* violations, const learner::Device& device = {});

// The same for looking at parts only: weights are zeros, in the right number. Orthogonal weights of
// the widest legal network take minutes.
ExperimentParts LookAtParts(const v1::ExperimentSpec& spec, Violations* violations);

// Writes the states of parts into a checkpoint's sections, and reads them back. An error leaves
// them undefined.
void AddParts(const ExperimentParts& parts, std::map<std::string, std::string>* sections);
absl::Status LoadParts(const Checkpoint& checkpoint, ExperimentParts* parts);

// The mean of the meta-parameters [Q] in these checkpoints of a run of the spec; undefined without
// any. DATA_LOSS names a file that is damaged or of another run.
absl::StatusOr<torch::Tensor> AverageParameters(const std::vector<std::filesystem::path>& files,
                                                const v1::ExperimentSpec& spec);

// Checks a spec beyond ranges: registered parts and their demands on each other.
void CheckParts(const v1::ExperimentSpec& spec, Violations* violations);

// Prints the spec as a text file with every default: fields, and the settings of its registered
// parts as comments. Parses back to the same spec.
std::string PrintWithDefaults(const v1::ExperimentSpec& spec);

// True if an environment that the spec trains on ever reports success.
bool HasSuccess(const v1::ExperimentSpec& spec);

// Says why episodes of the spec's environments cannot continue from one inner iteration to the
// next. Empty: they do.
std::string CutEpisodes(const v1::ExperimentSpec& spec);

// Settings that are legal but hardly meant, as "FIELD: why and what else": learning from success
// where nothing ever succeeds, episodes that are cut.
std::vector<std::string> WarningsOfSpec(const v1::ExperimentSpec& spec);

// Says how often random steps of the training environments succeed. Empty where none reports
// success, by its own word, or where one cannot be tried here. Takes a second.
std::string SuccessInRandomSteps(const v1::ExperimentSpec& spec);

// Checks that a spec can continue from a checkpoint of an experiment with another spec.
void CheckCheckpoint(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                     const Checkpoint& checkpoint, Violations* violations);

}  // namespace mentor::meta_learner
