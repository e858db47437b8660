#include "meta_learner/experiment_runner.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <limits>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>
#include <sys/resource.h>

#include "common/check.h"
#include "common/file.h"
#include "common/log.h"
#include "common/rng.h"
#include "common/spec.h"
#include "common/status.h"
#include "learner/agents/worker_pool.h"
#include "learner/inner_loops/inner_loop.h"
#include "learner/segment_proto.h"
#include "learner/tensor_proto.h"
#include "meta_learner/evaluation.h"
#include "meta_learner/outcomes.h"
#include "meta_learner/shards.h"
#include "meta_learner/task_sampler.h"
#include "meta_learner/tensor_sections.h"

namespace mentor::meta_learner {

struct ExperimentRunner::Instruments {
  explicit Instruments(Metrics* metrics)
      : checkpoint_write_seconds(metrics->Histogram("mentor_checkpoint_write_seconds",
                                                    "Writing and syncing a checkpoint.",
                                                    WriteBuckets())),
        checkpoint_bytes(metrics->Gauge("mentor_checkpoint_bytes", "Size of the last checkpoint.")),
        checkpoint_last(metrics->Gauge("mentor_checkpoint_last_timestamp_seconds",
                                       "When the last checkpoint was written.")),
        checkpoint_corrupt(metrics->Counter("mentor_checkpoint_corrupt_total",
                                            "Checkpoints that were not whole when read.")) {
    for (const RuleEntry* rule : OuterRules()) {
      outer_updates[rule->name] = &metrics->Counter("mentor_meta_outer_updates_total",
                                                    "Outer updates.", {{"rule", rule->name}});
      outer_update_seconds[rule->name] =
          &metrics->Histogram("mentor_meta_outer_update_seconds",
                              "Wall time of the outer rule's update, without collection.",
                              UnitBuckets(), {{"rule", rule->name}});
    }
  }

  prometheus::Histogram& checkpoint_write_seconds;
  prometheus::Gauge& checkpoint_bytes;
  prometheus::Gauge& checkpoint_last;
  prometheus::Counter& checkpoint_corrupt;
  std::map<std::string, prometheus::Counter*> outer_updates;
  std::map<std::string, prometheus::Histogram*> outer_update_seconds;
};

namespace {

constexpr std::string_view kOuterReturn = "mentor_meta_outer_return";

// Rounds whose lifetimes make the score of the best weights (60 lifetimes of 30 a round).
constexpr int64_t kScoreRounds = 2;
// Sections of a checkpoint with the snapshots of running lifetimes.
constexpr char kLives[] = "lives/";

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double ProcessCpuSeconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

LifetimeBatch MakeBatch(const std::vector<ShardResult>& results,
                        const std::vector<SampledTask>& tasks, int64_t steps) {
  LifetimeBatch batch;
  for (const SampledTask& task : tasks) batch.environments.push_back(task.environment);
  batch.steps_per_iteration = steps;
  std::vector<learner::Segment> lives;
  for (const ShardResult& result : results) {
    lives.push_back(learner::Join(result.segments));
    batch.shards.push_back(
        {.lifetimes = lives.back().successes.size(0), .gradient = result.outer_gradient});
  }
  batch.steps = learner::Stack(lives);
  return batch;
}

// Means over all lifetimes of what the inner loops say.
void AddStatistics(const std::vector<ShardResult>& results, RuleReport* metrics) {
  double lifetimes = 0;
  RuleReport sums;
  for (const ShardResult& result : results) {
    const auto weight = static_cast<double>(result.segments[0].successes.size(0));
    lifetimes += weight;
    for (const auto& [name, value] : result.statistics) sums[name] += weight * value;
  }
  for (const auto& [name, sum] : sums) (*metrics)[name] = sum / lifetimes;
}

std::vector<LifetimeOutcome> JoinOutcomes(const std::vector<ShardResult>& shards) {
  std::vector<LifetimeOutcome> all;
  for (const ShardResult& shard : shards) {
    std::vector<LifetimeOutcome> own = Outcomes(shard.segments);
    all.insert(all.end(), std::make_move_iterator(own.begin()), std::make_move_iterator(own.end()));
  }
  return all;
}

// The greatest memory that this process has held.
double PeakMemoryBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

// One experiment at work.
class Session {
 public:
  Session(const ExperimentRunner::Options& options, ExperimentRunner::Instruments* instruments,
          const v1::Experiment& experiment, const std::atomic<bool>& cancel)
      : options_(options),
        instruments_(instruments),
        name_(experiment.name()),
        uid_(experiment.uid()),
        spec_(WithDefaults(experiment.spec())),
        folder_(options.store->ExperimentFolder(uid_)),
        cancel_(cancel) {}

  ~Session() {
    if (outer_return_ != nullptr)
      options_.metrics->RemoveGauge(std::string(kOuterReturn), outer_return_);
  }

  absl::Status Run() {
    MENTOR_RETURN_IF_ERROR(options_.store->PrepareFolder(uid_));
    Violations violations;
    parts_ = MakeParts(spec_, options_.num_threads, &violations);
    MENTOR_RETURN_IF_ERROR(violations.ToStatus());
    MENTOR_RETURN_IF_ERROR(KeepFingerprint(folder_, options_.fingerprint));
    MENTOR_RETURN_IF_ERROR(Resume());
    while (outer_step_ < spec_.rule().outer_updates()) MENTOR_RETURN_IF_ERROR(OuterUpdate());
    return Evaluate();
  }

 private:
  // The series begins with the first value: a 0 before it would look like a return.
  void ShowReturn(double mean) {
    if (outer_return_ == nullptr) {
      outer_return_ = &options_.metrics->Gauge(
          std::string(kOuterReturn), "Mean return of the agents of the last outer update.",
          {{"experiment", name_.substr(name_.find('/') + 1)}});
    }
    outer_return_->Set(mean);
  }

  absl::Status Resume() {
    const auto folder = options_.store->CheckpointFolder(uid_);
    MENTOR_RETURN_IF_ERROR(MakeFolders(folder));
    MENTOR_ASSIGN_OR_RETURN(CheckpointScan scan, FindNewestWhole(folder, uid_, SpecHash(spec_)));
    for (const CorruptCheckpoint& corrupt : scan.corrupt) {
      instruments_->checkpoint_corrupt.Increment();
      MENTOR_LOG(
          kWarning, "checkpoint is not whole; it was moved away and an older one is used",
          {{"experiment", name_}, {"file", corrupt.path.string()}, {"reason", corrupt.reason}});
    }
    initial_parameters_ = best_weights_ = parts_.rule->meta_parameters().clone();
    if (!scan.newest) {
      if (!scan.corrupt.empty()) {
        MENTOR_LOG(kWarning, "no whole checkpoint is left; beginning again from the seed",
                   {{"experiment", name_}});
      }
      return SyncCheckpointIndex({});
    }
    MENTOR_ASSIGN_OR_RETURN(TensorMap rule, TensorsOfSections(scan.newest->sections, "rule/"));
    MENTOR_RETURN_IF_ERROR(parts_.rule->Load(rule));
    MENTOR_ASSIGN_OR_RETURN(TensorMap own, TensorsOfSections(scan.newest->sections, "experiment/"));
    for (const char* section : {"best_weights", "best_score", "scores", "env_steps"}) {
      if (!own.contains(section)) {
        return absl::DataLossError(absl::StrFormat("%s: section experiment/%s is missing",
                                                   scan.newest_info.path.string(), section));
      }
    }
    best_weights_ = own.at("best_weights");
    best_score_ = own.at("best_score").item<double>();
    scores_ = own.at("scores");
    env_steps_ = static_cast<uint64_t>(own.at("env_steps").item<int64_t>());
    outer_step_ = scan.newest->outer_step;
    for (const auto& [section, bytes] : scan.newest->sections) {
      if (!section.starts_with(kLives)) continue;
      if (!lives_.emplace_back().ParseFromString(bytes)) {
        return absl::DataLossError(
            absl::StrFormat("%s: section %s is damaged", scan.newest_info.path.string(), section));
      }
    }
    MENTOR_LOG(kInfo, "going on from a checkpoint",
               {{"experiment", name_},
                {"outer_step", absl::StrCat(outer_step_)},
                {"state_hash", scan.newest_info.state_hash}});
    return SyncCheckpointIndex({scan.newest_info});
  }

  absl::Status SyncCheckpointIndex(const std::vector<CheckpointInfo>& infos) {
    MENTOR_ASSIGN_OR_RETURN(std::vector<uint32_t> steps,
                            ListCheckpoints(options_.store->CheckpointFolder(uid_)));
    return options_.store->ReconcileCheckpoints(uid_, steps, infos);
  }

  ShardOwner Owner() const { return {name_, spec_, *parts_.benchmark}; }

  absl::Status OuterUpdate() {
    const Clock::time_point start = Clock::now();
    // Of rules with decisions inside a lifetime an outer update is one inner iteration; agents live
    // on from the last update's snapshots, and new ones begin when they have had their life.
    const bool decisions = parts_.rule->needs().decisions_inside_lifetime;
    const uint32_t iterations = spec_.lifetime().iterations();
    const uint32_t generation = decisions ? outer_step_ / iterations : outer_step_;
    const uint32_t iteration = decisions ? outer_step_ % iterations : 0;
    const bool last = !decisions || iteration + 1 == iterations;
    const std::vector<SampledTask> tasks = TrainingTasks(*parts_.benchmark, spec_, generation);
    std::vector<v1::Shard> shards = TrainingShards(Owner(), tasks, generation);
    if (iteration > 0 && lives_.size() != shards.size()) {
      return absl::DataLossError(absl::StrFormat(
          "the checkpoint has %d running shards, expected %d", lives_.size(), shards.size()));
    }
    for (size_t i = 0; i < shards.size(); ++i) {
      v1::Shard& shard = shards[i];
      shard.set_outcomes_only(!parts_.rule->needs().segments);
      if (!decisions) continue;
      shard.set_first_iteration(iteration);
      shard.set_iterations(1);
      shard.set_return_snapshot(!last);
      if (iteration > 0) *shard.mutable_snapshot() = lives_[i];
    }
    const uint64_t steps =
        uint64_t{shards[0].iterations()} * learner::StepsOfIteration(shards[0], 0);
    MENTOR_ASSIGN_OR_RETURN(
        std::vector<ShardResult> results,
        options_.broker->Run(
            std::move(shards), learner::ToProto(parts_.rule->meta_parameters()), cancel_,
            [&](const BrokerProgress& progress) { ReportProgress("meta-training", progress); }));
    const double collect_seconds = SecondsSince(start);

    const std::vector<LifetimeOutcome> outcomes = JoinOutcomes(results);
    OuterStep step;
    std::vector<std::string> environments;
    for (const SampledTask& task : tasks) environments.push_back(task.environment);
    step.results = RoundMetrics(outcomes, environments);
    if (decisions) NameIteration(generation, iteration, &step.results);
    AddStatistics(results, &step.results);
    if (last) KeepBest(outcomes);
    if (std::isfinite(best_score_)) step.results["best_score"] = best_score_;

    SetProgress("outer update", {});
    const double cpu_before = ProcessCpuSeconds();
    const Clock::time_point update_start = Clock::now();
    const auto update = [&] {
      const learner::InterruptScope interrupt(&cancel_);
      return parts_.rule->Update(MakeBatch(results, tasks, spec_.lifetime().steps_per_iteration()),
                                 outer_step_);
    };
    MENTOR_ASSIGN_OR_RETURN(RuleReport report, update());
    instruments_->outer_updates.at(spec_.rule().name())->Increment();
    instruments_->outer_update_seconds.at(spec_.rule().name())->Observe(SecondsSince(update_start));
    if (const auto mean = step.results.find("shaped_return"); mean != step.results.end())
      ShowReturn(mean->second);
    // A rule names times with "_seconds": they differ from run to run, so they are kept apart from
    // results.
    for (const auto& [metric, value] : report) {
      (metric.ends_with("_seconds") ? step.timings : step.results)[metric] = value;
    }
    if (!step.timings.contains("outer_seconds"))
      step.timings["outer_seconds"] = ProcessCpuSeconds() - cpu_before;
    step.timings["outer_wall_seconds"] = SecondsSince(update_start);
    step.timings["collect_wall_seconds"] = collect_seconds;
    double nonfinite = 0;
    for (const ShardResult& result : results) {
      step.timings["rollout_seconds"] += result.seconds.rollout();
      step.timings["policy_seconds"] += result.seconds.policy();
      step.timings["signal_seconds"] += result.seconds.signal();
      step.timings["update_seconds"] += result.seconds.update();
      step.timings["stalled_seconds"] += result.seconds.stalled();
      nonfinite += static_cast<double>(result.nonfinite_updates);
    }
    step.results["nonfinite_updates"] = nonfinite;

    lives_.clear();
    if (!last) {
      for (ShardResult& result : results) lives_.push_back(std::move(result.snapshot));
    }
    ++outer_step_;
    env_steps_ += tasks.size() * steps;
    step.results["env_steps"] = static_cast<double>(env_steps_);
    step.step = outer_step_;
    if (outer_step_ % spec_.checkpoint().every() == 0 ||
        outer_step_ == spec_.rule().outer_updates()) {
      MENTOR_ASSIGN_OR_RETURN(step.checkpoint, WriteState());
    }
    step.timings["wall_seconds"] = SecondsSince(start);
    step.timings["peak_memory_bytes"] = PeakMemoryBytes();
    seconds_per_update_ = SecondsSince(start);
    step.progress = CurrentProgress({});
    step.served_env_steps = options_.broker->TakeServed(name_);
    MENTOR_RETURN_IF_ERROR(options_.store->RecordOuterStep(uid_, step));
    SetProgress("meta-training", {});
    return step.checkpoint ? Retain() : absl::OkStatus();
  }

  // What the user wants now: retention and pins may change while the experiment runs.
  absl::Status Retain() {
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, options_.store->Get(name_));
    const v1::Retention& wanted = experiment.retention();
    CheckpointRetention retention{
        .keep_last = wanted.keep_last() > 0 ? wanted.keep_last() : spec_.checkpoint().keep_last(),
        .keep_every = wanted.keep_every()};
    if (retention.keep_last == 0) return absl::OkStatus();
    MENTOR_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> rows,
                            options_.store->Checkpoints(uid_));
    for (const CheckpointRow& row : rows) {
      if (row.pinned) retention.pinned.insert(row.outer_step);
    }
    MENTOR_RETURN_IF_ERROR(
        RetainCheckpoints(options_.store->CheckpointFolder(uid_), retention).status());
    return SyncCheckpointIndex({});
  }

  // The round is one inner iteration of a generation, not a whole life.
  static void NameIteration(uint32_t generation, uint32_t iteration, RuleReport* metrics) {
    RuleReport named = {{"generation", generation}, {"iteration", iteration}};
    for (const auto& [name, value] : *metrics) {
      if (name.starts_with("success_episode_")) continue;
      named[absl::StrReplaceAll(name, {{"seg0", "success"}})] = value;
    }
    *metrics = std::move(named);
  }

  absl::StatusOr<CheckpointInfo> WriteState() {
    Checkpoint checkpoint{.experiment_uid = uid_,
                          .outer_step = outer_step_,
                          .spec_hash = SpecHash(spec_),
                          .build = options_.build,
                          .sections = {}};
    AddTensorSections(parts_.rule->Save(), "rule/", &checkpoint.sections);
    AddTensorSections(
        {{"best_weights", best_weights_},
         {"best_score", torch::full({}, best_score_, torch::kFloat64)},
         {"scores", scores_},
         {"env_steps", torch::full({}, static_cast<int64_t>(env_steps_), torch::kInt64)}},
        "experiment/", &checkpoint.sections);
    for (size_t i = 0; i < lives_.size(); ++i)
      checkpoint.sections[absl::StrFormat("%s%05d", kLives, i)] = lives_[i].SerializeAsString();
    const Clock::time_point start = Clock::now();
    auto info = WriteCheckpoint(options_.store->CheckpointFolder(uid_), checkpoint);
    if (info.ok()) {
      instruments_->checkpoint_write_seconds.Observe(SecondsSince(start));
      instruments_->checkpoint_bytes.Set(static_cast<double>(info->size_bytes));
      instruments_->checkpoint_last.SetToCurrentTime();
    }
    return info;
  }

  // Before the update of this round, so the lifetimes belong to the weights that are kept
  // (black_box.md section 9).
  void KeepBest(const std::vector<LifetimeOutcome>& outcomes) {
    std::vector<double> scores;
    const auto old = scores_.accessor<double, 1>();
    for (int64_t i = 0; i < scores_.size(0); ++i) scores.push_back(old[i]);
    for (const LifetimeOutcome& outcome : outcomes) {
      scores.push_back(LifetimeScore(outcome, outcome.segment_episodes.back()));
    }
    const size_t window = static_cast<size_t>(kScoreRounds) * spec_.rule().lifetimes_per_update();
    if (scores.size() > window)
      scores.erase(scores.begin(), scores.end() - static_cast<int64_t>(window));
    scores_ = torch::tensor(scores, torch::kFloat64);
    double sum = 0;
    for (double score : scores) sum += score;
    const double mean = sum / static_cast<double>(scores.size());
    if (mean > best_score_) {
      best_score_ = mean;
      best_weights_ = parts_.rule->meta_parameters().clone();
    }
  }

  std::vector<Teacher> Teachers(envs::Split split) const {
    std::vector<Teacher> teachers;
    if (spec_.rule().outer_updates() > 0) {
      teachers.push_back({"learned", v1::REWARD_SOURCE_SIGNAL, parts_.rule->meta_parameters()});
      if (spec_.evaluation().best_weights())
        teachers.push_back({"learned (best)", v1::REWARD_SOURCE_SIGNAL, best_weights_});
    }
    // Baselines do not know which goals were for training.
    if (split != EvaluatedSplits(*parts_.benchmark, spec_)[0]) return teachers;
    for (Teacher& baseline : BaselineTeachers(spec_.evaluation(), initial_parameters_))
      teachers.push_back(std::move(baseline));
    return teachers;
  }

  absl::Status Evaluate() {
    if (spec_.evaluation().lifetimes_per_goal() == 0) return absl::OkStatus();
    const std::filesystem::path folder = EvaluationFolder(folder_);
    MENTOR_RETURN_IF_ERROR(MakeFolders(folder));
    std::vector<EvaluationJob> jobs;
    for (envs::Split split : EvaluatedSplits(*parts_.benchmark, spec_)) {
      for (Teacher& teacher : Teachers(split)) {
        jobs.push_back({.owner = Owner(),
                        .teacher = std::move(teacher),
                        .split = split,
                        .folder = folder,
                        .outer_step = outer_step_});
        evaluation_total_ += NumLifetimes(jobs.back());
      }
    }
    evaluation_start_ = Clock::now();
    for (const EvaluationJob& job : jobs) {
      const std::string activity =
          absl::StrFormat("evaluating %s on %s goals", job.teacher.method, SplitName(job.split));
      MENTOR_RETURN_IF_ERROR(RunEvaluation(
          job, options_.broker, cancel_, &evaluated_,
          [&](const BrokerProgress& progress) { ReportProgress(activity, progress); }));
    }
    return absl::OkStatus();
  }

  v1::Progress CurrentProgress(const BrokerProgress& shards) {
    v1::Progress progress;
    progress.set_outer_updates(outer_step_);
    progress.set_outer_updates_total(spec_.rule().outer_updates());
    progress.set_evaluation_lifetimes(evaluated_.done);
    progress.set_evaluation_lifetimes_total(evaluation_total_);
    progress.set_env_steps(env_steps_ + shards.env_steps);
    // Rate over the last seconds: steps of the running shards since the report before.
    const Clock::time_point now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - last_report_).count();
    if (seconds >= 0.5) {
      if (shards.env_steps >= last_steps_ && shards.env_steps > 0) {
        rate_ = static_cast<double>(shards.env_steps - last_steps_) / seconds;
      }
      last_report_ = now;
      last_steps_ = shards.env_steps;
    }
    progress.set_env_steps_per_second(rate_);
    progress.set_seconds_left(SecondsLeft());
    return progress;
  }

  double SecondsLeft() const {
    const uint32_t updates_left = spec_.rule().outer_updates() - outer_step_;
    if (updates_left > 0) return seconds_per_update_ > 0 ? updates_left * seconds_per_update_ : -1;
    const uint32_t fresh = evaluated_.done - evaluated_.skipped;
    if (evaluation_total_ == 0 || fresh == 0) return -1;
    return SecondsSince(evaluation_start_) / fresh * (evaluation_total_ - evaluated_.done);
  }

  // While shards are at work.
  void ReportProgress(const std::string& activity, const BrokerProgress& shards) {
    const char* missing = shards.learners == 0 ? ": waiting for learners"
                          : shards.actors == 0 ? ": waiting for actors"
                                               : "";
    SetProgress(activity + missing, shards);
  }

  void SetProgress(const std::string& activity, const BrokerProgress& shards) {
    const absl::Status status =
        options_.store->SetProgress(name_, activity, CurrentProgress(shards));
    if (!status.ok()) {
      MENTOR_LOG(kWarning, "progress could not be kept", {{"experiment", name_}, {"why", status}});
    }
  }

  // Fixed after construction.
  const ExperimentRunner::Options& options_;
  ExperimentRunner::Instruments* const instruments_;
  const std::string name_;
  const std::string uid_;
  const v1::ExperimentSpec spec_;
  const std::filesystem::path folder_;
  const std::atomic<bool>& cancel_;
  ExperimentParts parts_;
  prometheus::Gauge* outer_return_ = nullptr;

  // State of the checkpoint, beside the rule's own.
  uint32_t outer_step_ = 0;
  uint64_t env_steps_ = 0;
  torch::Tensor best_weights_;
  torch::Tensor initial_parameters_;  // Of the rule before its first update.
  double best_score_ = -std::numeric_limits<double>::infinity();  // Returns may be negative.
  std::vector<v1::Snapshot> lives_;  // Of the running shards, between two of their iterations.
  torch::Tensor scores_ =
      torch::zeros({0}, torch::kFloat64);  // Of the last lifetimes, oldest first.

  // For people only.
  uint32_t evaluation_total_ = 0;
  EvaluationCount evaluated_;
  Clock::time_point evaluation_start_ = Clock::now();
  Clock::time_point last_report_ = Clock::now();
  uint64_t last_steps_ = 0;
  double rate_ = 0;
  double seconds_per_update_ = 0;
};

}  // namespace

namespace {

// What the rule's inner loop says of the spec.
void CheckInnerLoop(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec,
                    Violations* violations) {
  v1::Shard shard;
  *shard.mutable_spec() = spec;
  shard.add_lifetimes();
  *shard.mutable_shape() = ShapeOf(benchmark);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  *shard.mutable_inner_loop() = InnerLoopOf(spec.rule());
  learner::MakeInnerLoop(shard, /*meta_parameters=*/{}, /*pool=*/nullptr, torch::kCPU, violations);
}

}  // namespace

ExperimentParts MakeParts(const v1::ExperimentSpec& spec, int num_threads, Violations* violations) {
  ExperimentParts parts;
  parts.benchmark = envs::MakeBenchmark(spec.benchmark(), violations);
  // A part that cannot be made does not hide what is wrong with the others.
  v1::EnvironmentShape shape;
  learner::SignalContext context{.observation_size = 1,
                                 .action_size = 1,
                                 .role = spec.signal().role(),
                                 .input = spec.signal().input()};
  if (parts.benchmark != nullptr) {
    CheckTasks(*parts.benchmark, spec, violations);
    context.observation_size = parts.benchmark->info().observation_size;
    context.action_size = parts.benchmark->info().action_size;
    context.episode_steps = parts.benchmark->info().episode_steps;
    shape = ShapeOf(*parts.benchmark);
  }
  parts.network = learner::MakeSignalNetwork(spec.signal(), context, violations);
  std::shared_ptr<const learner::SignalNetwork> taught = parts.network;
  if (taught == nullptr) {
    Violations named_already;
    taught = learner::MakeSignalNetwork(v1::SignalSpec(), context, &named_already);
  }
  parts.rule = MakeOuterRule(
      {.spec = spec, .shape = shape, .network = taught, .num_threads = num_threads}, violations);
  if (parts.rule != nullptr && parts.network != nullptr && parts.benchmark != nullptr)
    CheckInnerLoop(*parts.benchmark, spec, violations);
  return parts;
}

void CheckParts(const v1::ExperimentSpec& spec, Violations* violations) {
  MakeParts(WithDefaults(spec), /*num_threads=*/1, violations);
}

void CheckCheckpoint(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                     const Checkpoint& checkpoint, Violations* violations) {
  if (spec.rule().outer_updates() < checkpoint.outer_step) {
    violations->Add("rule.outer_updates",
                    absl::StrFormat("is %d, but the checkpoint has %d already; give at least that",
                                    spec.rule().outer_updates(), checkpoint.outer_step));
  }
  const bool running_lives =
      std::any_of(checkpoint.sections.begin(), checkpoint.sections.end(),
                  [](const auto& section) { return section.first.starts_with(kLives); });
  if (running_lives) {
    // Agents in the middle of their lives cannot become others.
    const auto of_lives = [](v1::ExperimentSpec of) {
      of.mutable_rule()->clear_outer_updates();
      of.clear_evaluation();
      return SpecHash(of);
    };
    if (of_lives(source) != of_lives(spec)) {
      violations->Add("spec_overrides",
                      "change more than rule.outer_updates and evaluation, but in this checkpoint "
                      "agents are in the middle of their lives; take the checkpoint after a whole "
                      "generation (a multiple of lifetime.iterations)");
    }
  }
  const ExperimentParts parts = MakeParts(spec, /*num_threads=*/1, violations);
  if (!violations->empty()) return;
  auto rule = TensorsOfSections(checkpoint.sections, "rule/");
  const absl::Status loaded = rule.ok() ? parts.rule->Load(*rule) : rule.status();
  if (!loaded.ok()) {
    violations->Add("spec_overrides",
                    absl::StrCat("make a rule or network that the checkpoint does not fit: ",
                                 loaded.message()));
  }
}

absl::Status KeepFingerprint(const std::filesystem::path& experiment_folder,
                             const std::string& fingerprint) {
  const std::filesystem::path file = experiment_folder / "fingerprint";
  const auto written = ReadFile(file, /*bytes_max=*/4096);
  if (absl::IsNotFound(written.status())) return WriteFileAtomically(file, fingerprint);
  MENTOR_RETURN_IF_ERROR(written.status());
  if (*written == fingerprint) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kFailedPrecondition, Reason::kNumericMismatch,
      absl::StrFormat(
          "the experiment was begun where arithmetic has the fingerprint %s, here it is "
          "%s: the last bits would change on the way; go on with it on that kind of "
          "machine and build, or create it anew",
          *written, fingerprint));
}

ExperimentRunner::ExperimentRunner(Options options)
    : options_(std::move(options)), instruments_(std::make_unique<Instruments>(options_.metrics)) {}

ExperimentRunner::~ExperimentRunner() = default;

absl::Status ExperimentRunner::Run(const v1::Experiment& experiment,
                                   const std::atomic<bool>& cancel) {
  return Session(options_, instruments_.get(), experiment, cancel).Run();
}

absl::StatusOr<std::vector<v1::EvaluationShard>> ReadEvaluation(
    const std::filesystem::path& experiment_folder) {
  return ReadShards(EvaluationFolder(experiment_folder));
}

}  // namespace mentor::meta_learner
