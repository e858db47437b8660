#include "cli/local/state_experiments.h"

#include <algorithm>
#include <tuple>

#include "common/resources/names.h"
#include "meta_learner/store/state_folder.h"

namespace mentor {

std::vector<StateExperiment> ExperimentsIn(const std::filesystem::path& state) {
  std::vector<StateExperiment> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(state / "experiments", error), end;
       !error && entry != end; entry.increment(error)) {
    if (!entry->is_directory() || meta_learner::IsLeftByCreate(entry->path())) continue;
    const auto about = meta_learner::ReadAbout(entry->path());
    found.push_back({.folder = entry->path(),
                     .id = about.ok() ? ExperimentIdOf(about->name()).value_or("") : ""});
  }
  std::sort(found.begin(), found.end(), [](const StateExperiment& a, const StateExperiment& b) {
    return std::tie(a.id, a.folder) < std::tie(b.id, b.folder);
  });
  return found;
}

}  // namespace mentor
