// Reads what a user writes to make an experiment: a spec, or an experiment around a spec, in
// protobuf text format or in YAML. Threads may share.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/spec/base.h"
#include "common/violations.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor {

// True if the text of this file has the field `spec` of an experiment, whatever else it holds.
bool LooksLikeExperiment(const std::filesystem::path& file, std::string_view text);

// Reads text that LooksLikeExperiment as an experiment, and any other text as a spec. Overrides
// apply to the spec. `read` finds its bases (ResolveBase). All violations are added. False:
// CheckSpec would misjudge the spec, as some of it is unread.
bool ReadExperiment(const std::filesystem::path& file, std::string_view text,
                    const std::vector<std::string>& overrides, v1::Experiment* experiment,
                    Violations* violations, const spec::FileReader& read = spec::ReadLocalFile);

}  // namespace mentor
