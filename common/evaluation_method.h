// Who teaches the agents of an evaluation, as people read and write it. Pure functions; threads may
// share.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mentor/v1/evaluation.pb.h"

namespace mentor {

struct EvaluationMethodInfo {
  v1::EvaluationMethod method;
  const char* name;    // In reports and file names, and in evaluations of 0.1.0.
  const char* option;  // On the command line.
  bool learned;        // Taught by what meta-training made; the others are baselines.
};

// In the order of reports: what was learned comes first.
std::span<const EvaluationMethodInfo> EvaluationMethods();
// The method must be one of them.
const EvaluationMethodInfo& InfoOf(v1::EvaluationMethod method);
std::string NameOf(v1::EvaluationMethod method);
// In names of numbers: "ppo_sparse".
std::string TagOf(v1::EvaluationMethod method);
bool IsLearned(v1::EvaluationMethod method);
// Position in EvaluationMethods().
int PlaceOf(v1::EvaluationMethod method);
// Nothing when no method has this name, or this option.
std::optional<v1::EvaluationMethod> MethodNamed(std::string_view name);
std::optional<v1::EvaluationMethod> MethodOfOption(std::string_view option);

}  // namespace mentor
