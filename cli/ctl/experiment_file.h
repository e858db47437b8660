// The files that create and apply read: a spec, or a whole experiment with labels, priority and so
// on. Both are in protobuf text format or in YAML. Pure except for reading files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "common/violations.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::ctl {

struct ExperimentFile {
  std::string path;     // As the user gave it; "-" for standard input.
  std::string id = {};  // From the field `name`, else from the file's stem; empty for "-".
  v1::Experiment experiment = {};
  // Errors found in the file. The experiment holds every field that could be read.
  Violations violations = {};
  bool readable = true;  // False when the syntax is wrong, or a base of the spec is unknown.
};

// Reads a file, a built-in spec by its name, or standard input for "-". Returns INVALID_ARGUMENT
// when reading fails.
absl::StatusOr<std::string> ReadInput(const std::string& path);

// Reads the text of a file (ReadExperiment) and checks its spec (CheckSpec). Overrides apply to the
// spec, whose base is looked up beside the file.
ExperimentFile ParseExperimentFile(const std::string& path, std::string_view text,
                                   const std::vector<std::string>& overrides);

// Returns the fields that an apply would change: the file sets them and the experiment has other
// values.
std::vector<std::string> ChangedFields(const ExperimentFile& file,
                                       const v1::Experiment& experiment);

}  // namespace mentor::ctl
