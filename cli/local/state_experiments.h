// Lists the experiments of a state folder. Reads only files, so a meta-learner may have the folder
// open.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mentor {

struct StateExperiment {
  std::filesystem::path folder;  // STATE/experiments/UID
  std::string id;                // "first"; empty when the folder does not name it.
};
// Returns the experiments ordered by id; empty without a state folder. Skips the remains of a crash
// during creation.
std::vector<StateExperiment> ExperimentsIn(const std::filesystem::path& state);

}  // namespace mentor
