// The files that create and apply read: a spec, or a whole experiment with labels, priority and so
// on, both in protobuf text format. Pure but for reading files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "common/violations.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::ctl {

struct ExperimentFile {
  std::string path;      // As the user gave it; "-" for the standard input.
  bool is_spec = false;  // A spec alone: nothing else of the experiment is said.
  std::string id = {};   // From the field `name`, else the file's stem; empty for "-".
  v1::Experiment experiment = {};
  // What is wrong. The experiment is as far as it could be read.
  Violations violations = {};
  bool readable = true;  // False: not even its syntax is right.
};

// A file, a ready spec by its name, or the standard input for "-". INVALID_ARGUMENT when it cannot
// be read.
absl::StatusOr<std::string> ReadInput(const std::string& path);

// Whether the text has the field `spec` of an experiment, whatever else it has.
bool LooksLikeExperiment(std::string_view text);

// What looks like an experiment is one, anything else a spec. Overrides go to the spec.
ExperimentFile ParseExperimentFile(const std::string& path, std::string_view text,
                                   const std::vector<std::string>& overrides);

// Fields that an apply would change: those that the file sets and the experiment does not equal.
std::vector<std::string> ChangedFields(const ExperimentFile& file,
                                       const v1::Experiment& experiment);

}  // namespace mentor::ctl
