// Lives a lifetime of a run's evaluation again, in this thread, so that it can be watched: a run
// keeps the weights of its signal network, not the agents that it taught. The same code as in the
// evaluation, the same keys of chance.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "common/rng.h"
#include "envs/benchmark.h"
#include "envs/render/episode.h"
#include "learner/shard_runner.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor {

struct ReliveOptions {
  // A run's folder, an experiment's folder, or one of its checkpoints.
  std::filesystem::path run = {};
  std::string environment = {};  // One of the benchmark's.
  envs::Split split = envs::Split::kTest;
  int goal = 0;                     // Index among the goals that the evaluation has of it.
  std::string teacher = "learned";  // An option of EvaluationMethods().
};

struct LivedEpisode {
  uint32_t number = 0;              // In its lifetime.
  bool deterministic = false;       // One of those after the lifetime, without noise.
  std::vector<float> actions = {};  // [steps, A], unclipped.
  std::vector<double> rewards = {};
  bool success = false;
  bool complete = false;  // It ended before the lifetime did.
};

struct Lifetime {
  v1::EnvironmentTask task;
  RandomStream reset;  // Key of its episodes.
  std::vector<LivedEpisode> episodes;
  std::string name;     // For people: who taught, after how many outer updates.
  uint32_t number = 0;  // In the evaluation of its split.
};

// NOT_FOUND or INVALID_ARGUMENT say what the run does not have.
absl::StatusOr<Lifetime> Relive(const ReliveOptions& options, const envs::Progress& progress);

// Lives a shard with these meta-parameters in this thread; undefined for baselines that have none.
// on_unit sees what the agents did, unit by unit; false ends it (CANCELLED).
absl::Status LiveShard(const v1::Shard& shard, const torch::Tensor& meta_parameters,
                       const std::function<bool(const v1::Unit&, const v1::Trajectory&)>& on_unit,
                       const learner::EmitSegment& emit);

// Plays the actions of an episode again. INTERNAL when anything comes out differently.
absl::StatusOr<envs::Episode> PlayAgain(envs::Environment& environment, const Lifetime& lifetime,
                                        const LivedEpisode& lived, const envs::Progress& progress);

}  // namespace mentor
