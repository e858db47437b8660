// Simulates a lifetime of a run's evaluation again in this thread, so that it can be watched. A run
// keeps the weights of its signal network, but not the agents taught by it. Uses the code and the
// random streams of the evaluation.
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
#include "mentor/v1/rollout_service.pb.h"
#include "shards/shard_runner.h"

namespace mentor {

struct ReliveOptions {
  // A run's folder, an experiment's folder, or one of its checkpoints.
  std::filesystem::path run = {};
  std::string environment = {};  // An environment of the benchmark.
  envs::Split split = envs::Split::kTest;
  int goal = 0;                     // Index among the evaluation's goals for this environment.
  std::string teacher = "learned";  // An option of EvaluationMethods().
};

struct LivedEpisode {
  uint32_t number = 0;         // Index in its lifetime.
  bool deterministic = false;  // An episode without action noise, after the end of the lifetime.
  std::vector<float> actions = {};  // [steps, A], unclipped.
  std::vector<double> rewards = {};
  bool success = false;
  bool complete = false;  // The episode ended before the lifetime did.
};

struct Lifetime {
  v1::EnvironmentTask task;
  RandomStream reset;  // Random stream of the episodes' resets.
  std::vector<LivedEpisode> episodes;
  std::string name;     // For people: the teacher and its number of outer updates.
  uint32_t number = 0;  // Index in the evaluation of its split.
};

// NOT_FOUND and INVALID_ARGUMENT name what the run lacks.
absl::StatusOr<Lifetime> Relive(const ReliveOptions& options, const envs::Progress& progress);

// Simulates a shard with these meta-parameters in this thread. The tensor is undefined for
// baselines without meta-parameters. on_unit gets each unit with its trajectory; returning false
// ends the shard (CANCELLED).
absl::Status LiveShard(const v1::Shard& shard, const torch::Tensor& meta_parameters,
                       const std::function<bool(const v1::Unit&, const v1::Trajectory&)>& on_unit,
                       const shards::EmitSegment& emit);

// Replays the actions of an episode. Returns INTERNAL when any result differs.
absl::StatusOr<envs::Episode> PlayAgain(envs::Environment& environment, const Lifetime& lifetime,
                                        const LivedEpisode& lived, const envs::Progress& progress);

}  // namespace mentor
