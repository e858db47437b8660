// What agents achieve while their signal learns, episode by episode: the newest episodes of the
// last two generations, for rules that decide inside a lifetime. Only reports read it; no update
// depends on it, and no hash covers it. A function of the rounds: a round that is repeated after a
// crash leaves the same. Functions without state.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "mentor/v1/evaluation.pb.h"
#include "meta_learner/experiment/outcomes.h"
#include "meta_learner/experiment/round.h"
#include "meta_learner/experiment/task_sampler.h"

namespace mentor::meta_learner {

// In an experiment's folder. It is written again with each checkpoint.
inline constexpr char kEpisodesFile[] = "artifacts/episodes.binpb";

// Each agent keeps at least this many episodes,
inline constexpr size_t kEpisodesOfAgent = 1000;
// and more where agents are few: this many in a generation.
inline constexpr size_t kEpisodesOfGeneration = size_t{1} << 16;
size_t KeptEpisodes(size_t agents);

// Adds a round that is one inner iteration, with the outcome of that iteration alone. Iterations
// before the first known one have no episodes.
void AddRound(const Round& round, const std::vector<SampledTask>& tasks,
              const std::vector<LifetimeOutcome>& outcomes, v1::TrainedLifetimes* all);
// Removes the round `next` and later ones, which will be made again.
void ForgetFrom(const Round& next, v1::TrainedLifetimes* all);

// The contents of the file (common/sealed.h).
std::string SealedEpisodes(const v1::TrainedLifetimes& all);
// Nothing when there is no file. DATA_LOSS when it is damaged.
absl::StatusOr<v1::TrainedLifetimes> ReadEpisodes(const std::filesystem::path& experiment_folder);

}  // namespace mentor::meta_learner
