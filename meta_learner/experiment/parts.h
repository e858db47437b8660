// The registered parts that a spec names, and what they demand of it and of each other. Functions
// without state.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "common/violations.h"
#include "envs/benchmark.h"
#include "learner/kernels/device.h"
#include "learner/signals/signal_network.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/curricula/curriculum.h"
#include "meta_learner/rules/outer_rule.h"
#include "meta_learner/store/checkpoint.h"

namespace mentor::meta_learner {

// They are null where the spec does not fit.
struct ExperimentParts {
  std::unique_ptr<envs::Benchmark> benchmark;
  std::shared_ptr<const learner::SignalNetwork> network;
  std::unique_ptr<OuterRule> rule;
  std::unique_ptr<Curriculum> curriculum;  // Null, too, where the spec names none.
};

// With violations where the spec does not fit. pool and device: for the outer update. Null pool:
// all on the calling thread.
ExperimentParts MakeParts(const v1::ExperimentSpec& spec, learner::WorkerPool* pool,
                          Violations* violations, const learner::Device& device = {});

// The same for those who ask what the parts are: weights that nobody has learned yet are zeros, as
// many as they will be. Orthogonal ones of the widest legal network take minutes.
ExperimentParts LookAtParts(const v1::ExperimentSpec& spec, Violations* violations);

// Their states into the sections of a checkpoint, and back. An error leaves them in an undefined
// state.
void AddParts(const ExperimentParts& parts, std::map<std::string, std::string>* sections);
absl::Status LoadParts(const Checkpoint& checkpoint, ExperimentParts* parts);

// The check of a spec beyond ranges: registered parts and what they demand of each other.
void CheckParts(const v1::ExperimentSpec& spec, Violations* violations);

// The spec as a text file with every default: fields, and, as comments, the settings that its
// registered parts take. It reads again as the same spec.
std::string PrintWithDefaults(const v1::ExperimentSpec& spec);

// Whether an environment of the benchmark that the spec trains on ever reports success.
bool HasSuccess(const v1::ExperimentSpec& spec);

// That episodes of the spec's environments cannot go on from one inner iteration to the next;
// empty: they do.
std::string CutEpisodes(const v1::ExperimentSpec& spec);

// What is legal in a valid spec and hardly meant, "FIELD: why and what else": learning from success
// where nothing ever succeeds, episodes that are cut.
std::vector<std::string> WarningsOfSpec(const v1::ExperimentSpec& spec);

// What random steps of the environments that the spec trains on say of success; empty where none of
// them reports any, as they say themselves, or where one cannot be tried here. Takes a second.
std::string SuccessInRandomSteps(const v1::ExperimentSpec& spec);

// The check of a spec that is to go on from a checkpoint of an experiment with another spec: what
// the checkpoint holds must fit.
void CheckCheckpoint(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                     const Checkpoint& checkpoint, Violations* violations);

}  // namespace mentor::meta_learner
