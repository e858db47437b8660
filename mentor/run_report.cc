#include "mentor/run_report.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/protocol.h"
#include "common/spec.h"
#include "envs/benchmark.h"
#include "learner/agents/numerics.h"
#include "meta_learner/experiment_runner.h"

namespace mentor {
namespace {

// Outer updates of the published experiments (black_box.md section 11); other benchmarks have none.
uint32_t PaperUpdates(const v1::ExperimentSpec& spec) {
  if (spec.benchmark().name() == "ml1") return 500;
  if (spec.benchmark().name() == "ml10") return 1500;
  return 0;
}

// Steps of an episode when all have the same number; otherwise 0.
int EpisodeSteps(const v1::ExperimentSpec& spec) {
  Violations ignored;
  const auto benchmark = envs::MakeBenchmark(spec.benchmark(), &ignored);
  return benchmark != nullptr && benchmark->info().independent_episodes
             ? benchmark->info().episode_steps
             : 0;
}

}  // namespace

absl::StatusOr<report::ReportData> ReportDataOf(meta_learner::ExperimentStore* store,
                                                const v1::Experiment& experiment) {
  const v1::ExperimentSpec spec = WithDefaults(experiment.spec());
  report::ReportData data;
  data.title = spec.display_name().empty() ? experiment.name() : spec.display_name();
  data.spec_text = PrintSpec(spec);
  data.signal_role = spec.signal().role() == v1::ADVANTAGE ? "advantage" : "reward";
  data.iterations = static_cast<int>(spec.lifetime().iterations());
  data.outer_updates_total = spec.rule().outer_updates();
  data.outer_updates_paper = PaperUpdates(spec);
  data.facts = {{"Seed", absl::StrCat(spec.seed())},
                {"Spec", SpecHash(spec).substr(0, 16)},
                {"Mentor", std::string(kBuildVersion)},
                {"LibTorch device", learner::DeviceName()},
                {"State", std::string(meta_learner::StateText(experiment.state()))}};
  if (const auto hash = HashRun(store->ExperimentFolder(experiment.uid())); hash.ok()) {
    data.facts.emplace_back(absl::StrFormat("Hash after outer update %d", hash->outer_step),
                            hash->state_hash);
  }

  MENTOR_ASSIGN_OR_RETURN(const auto points, store->Points(experiment.uid()));
  std::map<uint32_t, report::TrainingPoint> training;
  for (const auto& [metric, series] : points) {
    for (const auto& [step, value] : series) {
      report::TrainingPoint& point = training[step];
      point.outer_update = step;
      if (metric == "env_steps") {
        point.env_steps = static_cast<uint64_t>(value);
      } else {
        point.metrics[metric] = value;
      }
    }
  }
  for (auto& [step, point] : training) data.training.push_back(std::move(point));

  MENTOR_ASSIGN_OR_RETURN(const auto shards,
                          meta_learner::ReadEvaluation(store->ExperimentFolder(experiment.uid())));
  const int episode_steps = EpisodeSteps(spec);
  // Signals are shown on tasks for tests, where there are some.
  const bool has_test = std::any_of(shards.begin(), shards.end(),
                                    [](const auto& shard) { return shard.split() == "test"; });
  for (const v1::EvaluationShard& shard : shards) {
    for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes()) {
      report::EvaluationRow row{
          .method = shard.method(),
          .split = shard.split(),
          .environment = lifetime.environment(),
          .lifetime = lifetime.number(),
          .goal = lifetime.goal(),
          .lifetime_episodes = lifetime.episode_success_size(),
          .segment_episodes = {lifetime.segment_episodes().begin(),
                               lifetime.segment_episodes().end()},
          .episode_success = {lifetime.episode_success().begin(), lifetime.episode_success().end()},
          .episode_return = {lifetime.episode_return().begin(), lifetime.episode_return().end()}};
      row.episode_success.insert(row.episode_success.end(),
                                 lifetime.deterministic_success().begin(),
                                 lifetime.deterministic_success().end());
      row.episode_return.insert(row.episode_return.end(), lifetime.deterministic_return().begin(),
                                lifetime.deterministic_return().end());
      data.evaluation.push_back(std::move(row));
      if (shard.split() == (has_test ? "test" : "train") && shard.method() == "learned" &&
          lifetime.signal_size() > 0) {
        data.signals.push_back({.signal = {lifetime.signal().begin(), lifetime.signal().end()},
                                .shaped = {lifetime.shaped().begin(), lifetime.shaped().end()},
                                .episode_steps = episode_steps});
      }
    }
  }
  return data;
}

absl::StatusOr<RunFolder> FindRun(const std::filesystem::path& folder) {
  std::error_code error;
  if (std::filesystem::is_directory(folder / "checkpoints", error)) {
    return RunFolder{.state = folder.parent_path().parent_path(), .experiment = folder};
  }
  std::vector<std::filesystem::path> found;
  for (std::filesystem::directory_iterator entry(folder / "experiments", error), end;
       !error && entry != end; entry.increment(error)) {
    if (entry->is_directory()) found.push_back(entry->path());
  }
  if (found.size() == 1) return RunFolder{.state = folder, .experiment = found[0]};
  if (found.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s holds %d experiments; name one of the folders below %s/experiments",
                        folder.string(), found.size(), folder.string()));
  }
  return absl::NotFoundError(
      absl::StrFormat("%s is no run: expected the folder that `mentor run --out` wrote, or an "
                      "experiment's folder with checkpoints/ in it",
                      folder.string()));
}

absl::StatusOr<RunHash> HashRun(const std::filesystem::path& folder) {
  MENTOR_ASSIGN_OR_RETURN(const RunFolder run, FindRun(folder));
  const std::filesystem::path checkpoints = run.experiment / "checkpoints";
  MENTOR_ASSIGN_OR_RETURN(std::vector<uint32_t> steps, meta_learner::ListCheckpoints(checkpoints));
  std::string problems;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::filesystem::path path = checkpoints / meta_learner::CheckpointFileName(*step);
    meta_learner::CheckpointInfo info;
    const auto checkpoint = meta_learner::ReadCheckpoint(path, &info);
    if (checkpoint.ok())
      return RunHash{
          .state_hash = info.state_hash, .outer_step = checkpoint->outer_step, .checkpoint = path};
    absl::StrAppend(&problems, "\n", std::string(checkpoint.status().message()));
  }
  return absl::NotFoundError(
      absl::StrCat(checkpoints.string(), " holds no whole checkpoint", problems));
}

}  // namespace mentor
