#include "meta_learner/evaluation.h"

#include <algorithm>

#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "common/check.h"
#include "common/file.h"
#include "learner/tensor_proto.h"
#include "meta_learner/outcomes.h"

namespace mentor::meta_learner {
namespace {

// Lifetimes whose signals are kept, for the report's distribution and correlation.
constexpr uint32_t kSignalLifetimes = 8;
// As many shards at once as make good use of two learners, but few enough that little is lost when
// interrupted.
constexpr size_t kShardsAtOnce = 4;

std::filesystem::path ShardFile(const EvaluationJob& job, size_t index) {
  const std::string plain =
      absl::StrReplaceAll(job.teacher.method, {{" ", "_"}, {"(", ""}, {")", ""}});
  return job.folder / absl::StrFormat("%s-%s-%05d.binpb", SplitName(job.split), plain, index);
}

absl::Status SaveShard(const EvaluationJob& job, size_t index, const v1::Shard& shard,
                       const std::vector<SampledTask>& tasks, const ShardResult& result) {
  const uint32_t iterations = job.owner.spec.lifetime().iterations();
  const std::vector<learner::Segment> lifetime(result.segments.begin(),
                                               result.segments.begin() + iterations);
  const std::vector<LifetimeOutcome> outcomes = Outcomes(lifetime);
  std::vector<LifetimeOutcome> deterministic(outcomes.size());
  if (result.segments.size() > iterations) deterministic = Outcomes({result.segments[iterations]});
  // Their steps are enough for as many full episodes; where episodes end early there are more.
  for (LifetimeOutcome& outcome : deterministic) {
    const size_t asked = job.owner.spec.evaluation().deterministic_episodes();
    outcome.episode_success.resize(std::min(asked, outcome.episode_success.size()));
    outcome.episode_return.resize(std::min(asked, outcome.episode_return.size()));
  }

  v1::EvaluationShard proto;
  proto.set_method(job.teacher.method);
  proto.set_split(SplitName(job.split));
  proto.set_index(static_cast<uint32_t>(index));
  proto.set_tasks(job.tasks);
  proto.set_seed(job.owner.spec.seed());
  proto.set_outer_step(job.outer_step);
  for (int i = 0; i < shard.lifetimes_size(); ++i) {
    v1::EvaluatedLifetime& row = *proto.add_lifetimes();
    const uint32_t number = shard.lifetimes(i).number();
    row.set_number(number);
    row.set_environment(tasks[number].environment);
    row.set_goal(static_cast<uint32_t>(tasks[number].goal));
    for (double value : outcomes[i].episode_success) row.add_episode_success(value);
    for (double value : outcomes[i].episode_return) row.add_episode_return(value);
    for (int episodes : outcomes[i].segment_episodes)
      row.add_segment_episodes(static_cast<uint32_t>(episodes));
    for (double value : deterministic[i].episode_success) row.add_deterministic_success(value);
    for (double value : deterministic[i].episode_return) row.add_deterministic_return(value);
    if (job.teacher.source != v1::REWARD_SOURCE_SIGNAL || number >= kSignalLifetimes) continue;
    for (const learner::Segment& segment : lifetime) {
      if (!segment.signals.defined()) continue;  // A rule without signals.
      const auto signal = segment.signals.accessor<float, 2>();
      const auto shaped = segment.shaped_rewards.accessor<double, 2>();
      for (int64_t t = 0; t < signal.size(1); ++t) {
        row.add_signal(signal[i][t]);
        row.add_shaped(static_cast<float>(shaped[i][t]));
      }
    }
  }
  return WriteFileAtomically(ShardFile(job, index), proto.SerializeAsString());
}

}  // namespace

std::vector<Teacher> BaselineTeachers(const v1::EvaluationSpec& spec,
                                      const torch::Tensor& initial_parameters) {
  std::vector<Teacher> teachers;
  for (int baseline : spec.baseline()) {
    if (baseline == v1::PPO_SPARSE) teachers.push_back({"PPO sparse", v1::REWARD_SOURCE_SPARSE});
    if (baseline == v1::PPO_SHAPED) teachers.push_back({"PPO shaped", v1::REWARD_SOURCE_SHAPED});
    if (baseline == v1::PPO_SPARSE_AND_SHAPED)
      teachers.push_back({"PPO sparse and shaped", v1::REWARD_SOURCE_SPARSE_AND_SHAPED});
    if (baseline == v1::RANDOM_SIGNAL)
      teachers.push_back({"random signal", v1::REWARD_SOURCE_SIGNAL, initial_parameters});
  }
  return teachers;
}

uint32_t NumLifetimes(const EvaluationJob& job) {
  return static_cast<uint32_t>(
      EvaluationTasks(job.owner.benchmark, job.owner.spec, job.split).size());
}

absl::Status RunEvaluation(const EvaluationJob& job, ShardBroker* broker,
                           const std::atomic<bool>& cancel, EvaluationCount* count,
                           const ShardBoard::OnProgress& on_progress) {
  const std::vector<SampledTask> tasks =
      EvaluationTasks(job.owner.benchmark, job.owner.spec, job.split);
  const std::vector<v1::Shard> all =
      EvaluationShards(job.owner, tasks, /*first_number=*/0, job.split, job.teacher.source);
  v1::Tensor parameters;
  if (job.teacher.parameters.defined()) parameters = learner::ToProto(job.teacher.parameters);
  for (size_t begin = 0; begin < all.size();) {
    std::vector<size_t> indices;
    std::vector<v1::Shard> shards;
    for (; begin < all.size() && shards.size() < kShardsAtOnce; ++begin) {
      if (std::filesystem::exists(ShardFile(job, begin))) {
        count->done += static_cast<uint32_t>(all[begin].lifetimes_size());
        count->skipped += static_cast<uint32_t>(all[begin].lifetimes_size());
        continue;
      }
      shards.push_back(all[begin]);
      indices.push_back(begin);
    }
    if (shards.empty()) continue;
    MENTOR_ASSIGN_OR_RETURN(std::vector<ShardResult> results,
                            broker->Run(std::move(shards), parameters, cancel, on_progress));
    for (size_t i = 0; i < results.size(); ++i) {
      MENTOR_RETURN_IF_ERROR(SaveShard(job, indices[i], all[indices[i]], tasks, results[i]));
      count->done += static_cast<uint32_t>(all[indices[i]].lifetimes_size());
    }
  }
  return absl::OkStatus();
}

std::string SplitName(envs::Split split) {
  return split == envs::Split::kTest ? "test" : "train";
}

absl::StatusOr<std::vector<v1::EvaluationShard>> ReadShards(const std::filesystem::path& folder) {
  std::vector<v1::EvaluationShard> shards;
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".binpb") files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    MENTOR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file, uint64_t{1} << 30));
    if (!shards.emplace_back().ParseFromString(bytes)) {
      return absl::DataLossError(file.string() +
                                 " is not an evaluation; remove it and evaluate again");
    }
  }
  return shards;
}

std::filesystem::path EvaluationFolder(const std::filesystem::path& experiment_folder) {
  return experiment_folder / "artifacts" / "evaluation";
}

}  // namespace mentor::meta_learner
