// The experiments of a state folder, also while a meta-learner has it open: only files are read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mentor {

struct StateExperiment {
  std::filesystem::path folder;  // STATE/experiments/UID
  std::string id;                // "first"; empty where the folder does not say it.
};
// Ordered by id; empty where there is no state folder. What a crash inside of a creation left is no
// experiment.
std::vector<StateExperiment> ExperimentsIn(const std::filesystem::path& state);

}  // namespace mentor
