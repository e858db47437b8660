// Measures teachers: fresh agents live on given tasks with frozen meta-parameters. Each shard
// leaves a file, so an interrupted evaluation resumes. Functions without state.
#pragma once

#include <torch/types.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/evaluation.pb.h"
#include "meta_learner/experiment/shards.h"
#include "meta_learner/experiment/task_sampler.h"
#include "meta_learner/fleet/shard_board.h"

namespace mentor::meta_learner {

struct Teacher {
  v1::EvaluationMethod method = v1::EVALUATION_METHOD_LEARNED;
  v1::RewardSource source = v1::REWARD_SOURCE_SIGNAL;
  torch::Tensor parameters = {};  // Meta-parameters [Q]; undefined for baselines that have none.
};

// Meta-parameters of a run, [Q] each.
struct RunParameters {
  torch::Tensor learned;       // After its last outer update,
  torch::Tensor best;          // with its best score,
  torch::Tensor average = {};  // in its last checkpoints (AverageParameters),
  torch::Tensor initial;       // before its first update.
};
Teacher TeacherOf(v1::EvaluationMethod method, const RunParameters& parameters);
// The teachers that a spec's evaluation compares: the learned ones if `learned`, and the baselines
// if `baselines`.
std::vector<Teacher> Teachers(const v1::EvaluationSpec& spec, const RunParameters& parameters,
                              bool learned, bool baselines);

// A teacher of the evaluation at the end of a run, and the tasks that it is tried on.
struct EvaluatedTeacher {
  envs::Split split = envs::Split::kTest;
  Teacher teacher;
};
// All of them, in the order of the evaluation. Baselines ignore which goals were for training, so
// they run once.
std::vector<EvaluatedTeacher> EvaluatedTeachers(const envs::Benchmark& benchmark,
                                                const v1::ExperimentSpec& spec,
                                                const RunParameters& parameters);

// The lifetimes of one teacher on the tasks of one split. owner.spec says how agents live: its seed
// keys their randomness, its evaluation says how many there are.
struct EvaluationJob {
  ShardOwner owner;
  Teacher teacher;
  envs::Split split = envs::Split::kTest;
  std::filesystem::path folder;  // Exists.
  std::string tasks = {};        // See EvaluationShard.
  uint32_t outer_step = 0;
  std::string spec_hash = {};         // The run's; its seed and tasks may differ from owner.spec's,
  std::string state_hash = {};        // and its state's; empty where nothing was to be learned.
  uint32_t averaged_checkpoints = 0;  // In RunParameters::average.
  // Called with each written file. Without it, the folder has the only copy.
  std::function<absl::Status(const std::filesystem::path&)> keep = {};
};

struct EvaluationCount {
  uint32_t done = 0;       // Lifetimes.
  uint32_t skipped = 0;    // Lifetimes that an earlier process did.
  uint64_t env_steps = 0;  // Steps that this process made.
};

uint32_t NumLifetimes(const EvaluationJob& job);
// Upper bound of the memory that the results of an evaluation's shards take at once.
double EvaluationBytes(const v1::ExperimentSpec& spec);
// A shard of the greatest size, with lifetimes that name no task: for its memory.
v1::Shard FirstShard(const EvaluationJob& job);
// The whole evaluation at the end of a run; deterministic episodes are not counted in its steps.
EvaluationCount EvaluationCost(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec);

// Blocks. Adds to *count. CANCELLED when *cancel became true; finished shards stay.
absl::Status RunEvaluation(const EvaluationJob& job, ShardBoard* board,
                           const std::atomic<bool>& cancel, EvaluationCount* count,
                           const ShardBoard::OnProgress& on_progress);

// "test" or "train".
std::string SplitName(envs::Split split);
// "seed-SEED", the folder of shards of one seed among others. It holds no others.
std::string SeedFolder(uint64_t seed);

// The file of a shard, with a checksum.
absl::Status WriteShard(const std::filesystem::path& file, const v1::EvaluationShard& shard);

// The run in whose folder evaluations lie.
struct EvaluatedRun {
  std::string spec_hash;
  // Hash of the run's state after an outer update; empty where it is not known.
  std::function<std::string(uint32_t outer_step)> state_hash;
};
// All shards in a folder, in a fixed order: by split, method and index. Empty when the folder is
// missing. DATA_LOSS names a file that changed since it was written; files of earlier builds have
// no checksum. FAILED_PRECONDITION names a file whose shard differs from its name or SeedFolder.
// With a run, it also names shards of other runs or states; files of earlier builds do not name
// their run.
absl::StatusOr<std::vector<v1::EvaluationShard>> ReadShards(const std::filesystem::path& folder,
                                                            const EvaluatedRun* run = nullptr);

// The folder of a run's final evaluation, and the shards in it.
std::filesystem::path EvaluationFolder(const std::filesystem::path& experiment_folder);
absl::StatusOr<std::vector<v1::EvaluationShard>> ReadEvaluation(
    const std::filesystem::path& experiment_folder, const EvaluatedRun* run = nullptr);

}  // namespace mentor::meta_learner
