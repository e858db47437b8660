// A spec that this build can run, and what its parts say of it. Made once, where the spec is read,
// and passed on. Functions without state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/violations.h"
#include "envs/benchmark.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/experiment/spec_memory.h"
#include "meta_learner/store/checkpoint.h"
#include "methods/base/outer_rule.h"

namespace mentor::meta_learner {

struct ExperimentParts;

// What the parts of a spec that fits say of it.
struct SpecFacts {
  methods::RuleNeeds needs;
  SpecMemory memory;
  // Settings that are legal but hardly meant, as "FIELD: why and what else": learning from success
  // where nothing ever succeeds, episodes that are cut.
  std::vector<std::string> warnings;
  std::vector<std::string> reported_numbers;  // See ReportedNumbers.
  bool has_success = false;                   // See HasSuccess.
  // Environment steps of an outer update; 0 under a rule that decides by itself how many lives.
  uint64_t steps_of_update = 0;
};

struct CheckedSpec : SpecFacts {
  v1::ExperimentSpec given;  // As it was written: what a store keeps.
  v1::ExperimentSpec spec;   // With every default.
};

// Checks the parts of a spec that has legal ranges and all defaults (PartsCheck).
std::optional<SpecFacts> CheckParts(const v1::ExperimentSpec& spec, Violations* violations);
// Checks ranges, the rules between fields, and parts (CheckSpec). Nothing with violations.
std::optional<CheckedSpec> Check(const v1::ExperimentSpec& given, Violations* violations);

// Names of the numbers that an experiment may report, for callers that choose one before it runs:
// the objective of a study. session.cc and evaluation.cc report them.
//
// For a spec with its defaults and its parts: metrics by outer update, then
// evaluation/SPLIT/METHOD/NUMBER, the means over the lifetimes of all environments. A last `*`
// stands for a number or an environment, as in MetricInfo. A metric that depends on a part's
// settings may be listed and never come.
std::vector<std::string> ReportedNumbers(const v1::ExperimentSpec& spec,
                                         const ExperimentParts& parts);

// True if an environment of the benchmark's training may report success.
bool HasSuccess(const envs::Benchmark& benchmark);

// Says why episodes cannot continue from one inner iteration to the next. Empty: they do.
std::string CutEpisodes(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec);

// Prints a spec that has its defaults, with the settings of its parts as comments. Parses back to
// the same spec. `has_signal`: its rule learns a signal network.
std::string PrintWithDefaults(const v1::ExperimentSpec& spec, bool has_signal);

// Says how often random steps of the training environments succeed. Empty where none reports
// success, by its own word, or where one cannot be tried here. Takes a second.
std::string SuccessInRandomSteps(const CheckedSpec& checked);

// Checks that a spec with its defaults can continue from a checkpoint of an experiment with
// another spec.
void CheckCheckpoint(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                     const Checkpoint& checkpoint, Violations* violations);

}  // namespace mentor::meta_learner
