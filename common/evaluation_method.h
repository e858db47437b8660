// Names of evaluation methods: where the agents' learning signal comes from. Pure functions;
// threads may share.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mentor/v1/evaluation.pb.h"

namespace mentor {

struct EvaluationMethodInfo {
  v1::EvaluationMethod method;
  const char* name;    // Name in reports and file names, and in evaluations of 0.1.0.
  const char* option;  // Name on the command line.
  bool learned;        // True if the signal was meta-trained; the others are baselines.
};

// In the order of reports: learned methods come first.
std::span<const EvaluationMethodInfo> EvaluationMethods();
// The method must be in EvaluationMethods().
const EvaluationMethodInfo& InfoOf(v1::EvaluationMethod method);
std::string NameOf(v1::EvaluationMethod method);
// Part of a number's name: "ppo_sparse".
std::string TagOf(v1::EvaluationMethod method);
bool IsLearned(v1::EvaluationMethod method);
// Position in EvaluationMethods().
int PlaceOf(v1::EvaluationMethod method);
// nullopt if no method has this name, or this option.
std::optional<v1::EvaluationMethod> MethodNamed(std::string_view name);
std::optional<v1::EvaluationMethod> MethodOfOption(std::string_view option);

}  // namespace mentor
