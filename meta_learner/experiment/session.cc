#include "meta_learner/experiment/session.h"

#include <chrono>
#include <cmath>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <sys/resource.h>

#include "common/bundle.h"
#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/cpu_time.h"
#include "common/evaluation_method.h"
#include "common/failpoint.h"
#include "common/fair_queue.h"
#include "common/file.h"
#include "common/history.h"
#include "common/log.h"
#include "common/pause_point.h"
#include "common/registry.h"
#include "common/spec/bundles.h"
#include "common/spec/spec.h"
#include "envs/mjcf/plan.h"
#include "learner/agents/segment.h"
#include "learner/agents/worker_pool.h"
#include "learner/tensor_proto.h"
#include "meta_learner/experiment/fingerprint.h"
#include "meta_learner/experiment/learner_arithmetic.h"
#include "meta_learner/store/checkpoint.h"

namespace mentor::meta_learner {
namespace {

using Clock = ProgressReporter::Clock;

constexpr char kOuterReturn[] = "mentor_meta_outer_return";
// Rounds whose lifetimes make the score of the best weights (60 lifetimes of 30 a round).
constexpr size_t kScoreRounds = 2;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// CPU time of this thread, and of pools while they worked for it.
double CallerCpuSeconds() {
  return ThreadCpuSeconds() + learner::WorkerPool::CallerCpuSeconds();
}

// Of a round, for the history, in their order; empty when none is left.
std::string LifetimesOf(const PlannedRound& round) {
  std::vector<std::string> names;
  for (uint32_t number = round.first_number; const Planned& lifetime : round.lifetimes) {
    names.push_back(history::LifetimeName(number++, lifetime.variant, lifetime.noise_number,
                                          lifetime.parameters));
  }
  return absl::StrJoin(names, ",");
}

// What a spec's bundles mean, which stays while the experiment runs. A bucket that does not answer,
// files that are damaged or gone, and a machine that has no time or memory for the compiler are no
// fault of the experiment: it waits for them. What else is wrong is found where its parts are made.
absl::StatusOr<std::vector<std::shared_ptr<const envs::mjcf::Plan>>> HoldBundles(
    const v1::ExperimentSpec& spec) {
  std::vector<std::shared_ptr<const envs::mjcf::Plan>> held;
  for (const std::string& digest : BundlesOf(spec)) {
    const auto bundle = FindBundle(BundleName(digest));
    if (absl::IsNotFound(bundle.status()) || absl::IsDataLoss(bundle.status()))
      return absl::UnavailableError(bundle.status().message());
    MENTOR_RETURN_IF_ERROR(bundle.status());
    auto plan = envs::mjcf::FindPlan(BundleName(digest));
    if (absl::IsUnavailable(plan.status())) return plan.status();
    if (plan.ok()) held.push_back(*std::move(plan));
  }
  return held;
}

// The greatest memory that this process has held.
double PeakMemoryBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

}  // namespace

ExperimentMetrics::ExperimentMetrics(Metrics* metrics) : checkpoints(metrics) {
  for (const RuleEntry* rule : OuterRules()) {
    outer_updates[rule->name] = &metrics->Counter("mentor_meta_outer_updates_total",
                                                  "Outer updates.", {{"rule", rule->name}});
    outer_update_seconds[rule->name] =
        &metrics->Histogram("mentor_meta_outer_update_seconds",
                            "Wall time of the outer rule's update, without collection.",
                            UnitBuckets(), {{"rule", rule->name}});
  }
}

Session::Session(const ExperimentRunner::Options& options, ExperimentMetrics* metrics,
                 learner::WorkerPool* pool, const v1::Experiment& experiment,
                 const std::atomic<bool>& cancel)
    : options_(options),
      metrics_(metrics),
      pool_(pool),
      name_(experiment.name()),
      uid_(experiment.uid()),
      spec_(WithDefaults(experiment.spec())),
      cancel_(cancel),
      objects_(options.store->objects() == nullptr
                   ? nullptr
                   : std::make_unique<ExperimentObjects>(options.store->objects(), uid_, &cancel)),
      files_(options.store, uid_, objects_.get(), &cancel),
      checkpoints_({.store = options.store,
                    .metrics = &metrics->checkpoints,
                    .objects = objects_.get(),
                    .cancel = &cancel,
                    .experiment = name_,
                    .uid = uid_,
                    .spec_hash = SpecHash(spec_),
                    .build = options.build,
                    .keep_last = spec_.checkpoint().keep_last(),
                    .every = spec_.checkpoint().every()}),
      progress_({.store = options.store,
                 .experiment = name_,
                 .outer_updates_total = spec_.rule().outer_updates()}) {}

Session::~Session() {
  if (outer_return_ != nullptr) options_.metrics->RemoveGauge(kOuterReturn, outer_return_);
}

absl::Status Session::Run() {
  MENTOR_RETURN_IF_ERROR(options_.store->PrepareFolder(uid_));
  MENTOR_ASSIGN_OR_RETURN(const auto plans, HoldBundles(spec_));
  MENTOR_RETURN_IF_ERROR(MakeAllParts());
  const std::filesystem::path folder = options_.store->ExperimentFolder(uid_);
  MENTOR_RETURN_IF_ERROR(files_.BringBack());
  MENTOR_RETURN_IF_ERROR(KeepFingerprint(folder, options_.fingerprint));
  MENTOR_RETURN_IF_ERROR(KeepLearnerArithmetic(folder, name_, options_.broker));
  MENTOR_RETURN_IF_ERROR(files_.Keep());
  MENTOR_RETURN_IF_ERROR(Resume());
  while (state_.outer_step < spec_.rule().outer_updates()) MENTOR_RETURN_IF_ERROR(OuterUpdate());
  return Evaluate();
}

absl::Status Session::MakeAllParts() {
  // The lists of goals were drawn when it was created: they take no longer now.
  BoundedTurn turn({.ends = [this] {
    return cancel_ ? absl::CancelledError("interrupted") : absl::OkStatus();
  }});
  const TurnScope scope(&turn);
  Violations violations;
  parts_ = MakeParts(spec_, pool_, &violations, options_.device);
  MENTOR_RETURN_IF_ERROR(turn.Continue());
  return violations.ToStatus();
}

absl::Status Session::Resume() {
  initial_parameters_ = state_.best.weights = parts_.rule->meta_parameters().clone();
  MENTOR_ASSIGN_OR_RETURN(const auto newest, checkpoints_.FindNewest());
  MENTOR_HISTORY("resumed", {{"experiment", name_},
                             {"uid", uid_},
                             {"step", newest ? newest->outer_step : 0},
                             {"plans", parts_.rule->needs().plans_rounds}});
  if (!newest) return absl::OkStatus();
  MENTOR_RETURN_IF_ERROR(LoadParts(*newest, &parts_));
  MENTOR_ASSIGN_OR_RETURN(state_, ReadState(*newest));
  MENTOR_RETURN_IF_ERROR(ReadEpisodesBefore());
  if (const int64_t unknown = UnknownOpenEpisodes(state_); unknown > 0) {
    MENTOR_LOG(kWarning,
               "the checkpoint is of a version that did not keep what open episodes had achieved: "
               "their returns count from here",
               {{"experiment", name_}, {"open_episodes", absl::StrCat(unknown)}});
  }
  progress_.SetTrained(state_.outer_step, state_.env_steps, /*seconds=*/0);
  return absl::OkStatus();
}

absl::Status Session::ReadEpisodesBefore() {
  const RuleNeeds needs = parts_.rule->needs();
  if (!needs.decisions_inside_lifetime) return absl::OkStatus();
  auto episodes = ReadEpisodes(options_.store->ExperimentFolder(uid_));
  if (absl::IsDataLoss(episodes.status())) {
    // Reports lack them; nothing else does.
    MENTOR_LOG(kWarning, "episodes of meta-training are lost",
               {{"experiment", name_}, {"why", episodes.status()}});
    return absl::OkStatus();
  }
  MENTOR_RETURN_IF_ERROR(episodes.status());
  episodes_ = *std::move(episodes);
  ForgetFrom(RoundOf(needs, spec_, state_.outer_step), &episodes_);
  return absl::OkStatus();
}

absl::Status Session::OuterUpdate() {
  const Clock::time_point start = Clock::now();
  OuterStep step;
  MENTOR_RETURN_IF_ERROR(parts_.rule->needs().plans_rounds ? RunPlannedRounds(&step)
                                                           : RunRound(&step));
  metrics_->outer_updates.at(spec_.rule().name())->Increment();
  if (const auto mean = step.results.find("shaped_return"); mean != step.results.end())
    ShowReturn(mean->second);
  ++state_.outer_step;
  return Record(start, &step);
}

absl::Status Session::RunRound(OuterStep* step) {
  const RuleNeeds needs = parts_.rule->needs();
  const Round round = RoundOf(needs, spec_, state_.outer_step);
  MENTOR_ASSIGN_OR_RETURN(const std::vector<SampledTask> tasks, Tasks(round));
  MENTOR_ASSIGN_OR_RETURN(std::vector<v1::Shard> shards,
                          RoundShards(Owner(), tasks, needs, round, state_.lives));
  MENTOR_ASSIGN_OR_RETURN(std::vector<ShardResult> results,
                          Collect(std::move(shards), tasks.size(), step));

  const std::vector<LifetimeOutcome> outcomes = JoinOutcomes(results);
  step->results.merge(RoundResults(round, outcomes, tasks, results));
  if (round.iteration) AddRound(round, tasks, outcomes, &episodes_);
  // Before the update, so that the lifetimes belong to the weights that are kept.
  if (round.last) {
    state_.best.Consider(outcomes, kScoreRounds * spec_.rule().lifetimes_per_update(),
                         parts_.rule->meta_parameters());
  }
  if (std::isfinite(state_.best.score)) step->results["best_score"] = state_.best.score;
  MENTOR_RETURN_IF_ERROR(Learn(results, tasks, step));
  if (round.last)
    MENTOR_RETURN_IF_ERROR(ObserveLives(round, LastAchievements(outcomes, results), step));

  state_.lives.clear();
  if (round.last) return absl::OkStatus();
  for (ShardResult& result : results) state_.lives.push_back(std::move(result.snapshot));
  const auto parents = parts_.rule->TakeParents();
  return parents ? TakeOver(*parents, &state_.lives) : absl::OkStatus();
}

absl::Status Session::RunPlannedRounds(OuterStep* step) {
  for (uint32_t number = 0;; ++number) {
    const PlannedRound round = parts_.rule->Plan(state_.outer_step);
    MENTOR_HISTORY("planned", {{"experiment", name_},
                               {"uid", uid_},
                               {"step", state_.outer_step + 1},
                               {"round", number},
                               {"lifetimes", LifetimesOf(round)},
                               {"learning", round.outer_learning},
                               {"episodes", round.deterministic_episodes}});
    if (round.lifetimes.empty()) break;
    auto [tasks, shards] = ShardsOf(Owner(), round);
    MENTOR_ASSIGN_OR_RETURN(const std::vector<ShardResult> results,
                            Collect(std::move(shards), tasks.size(), step));
    // Those of the first round stay.
    step->results.merge(
        RoundResults({.generation = state_.outer_step}, JoinOutcomes(results), tasks, results));
    MENTOR_RETURN_IF_ERROR(Learn(results, tasks, step));
  }
  // Such rules have many agents, and no weights that one score could rank.
  state_.best.weights = parts_.rule->meta_parameters().clone();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SampledTask>> Session::Tasks(const Round& round) const {
  MENTOR_ASSIGN_OR_RETURN(std::vector<SampledTask> tasks, DrawWithin(cancel_, [&] {
                            return TrainingTasks(*parts_.benchmark, spec_, round.generation,
                                                 parts_.rule->needs().paired_noise);
                          }));
  if (parts_.curriculum == nullptr) return tasks;
  for (size_t i = 0; i < tasks.size(); ++i) {
    parts_.curriculum->ChangeTask(round.generation, static_cast<uint32_t>(i), &tasks[i].task);
  }
  return tasks;
}

absl::Status Session::ObserveLives(const Round& round, const std::vector<Achievement>& lifetimes,
                                   OuterStep* step) {
  if (parts_.curriculum == nullptr) return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(CurriculumReport report,
                          parts_.curriculum->Observe(round.generation, lifetimes));
  const std::string& name = spec_.curriculum().name();
  MENTOR_RETURN_IF_ERROR(CheckDeclared(Registry<CurriculumEntry>::Instance().Find(name)->metrics,
                                       report, "curriculum '" + name + "'"));
  step->results.merge(report);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ShardResult>> Session::Collect(std::vector<v1::Shard> shards,
                                                          size_t lifetimes, OuterStep* step) {
  const Clock::time_point start = Clock::now();
  const uint64_t steps = uint64_t{shards[0].iterations()} * learner::StepsOfIteration(shards[0], 0);
  auto results = options_.broker->Run(
      std::move(shards), learner::ToProto(parts_.rule->meta_parameters()), cancel_,
      [&](const BrokerProgress& work) { progress_.ReportWork("meta-training", work); });
  if (!results.ok()) return results;
  state_.env_steps += lifetimes * steps;
  progress_.SetSteps(state_.env_steps);
  step->timings["collect_wall_seconds"] += SecondsSince(start);
  for (const auto& [name, seconds] : PhaseTimings(*results)) step->timings[name] += seconds;
  for (const ShardResult& result : *results)
    step->results["nonfinite_updates"] += static_cast<double>(result.nonfinite_updates);
  return results;
}

absl::Status Session::Learn(const std::vector<ShardResult>& results,
                            const std::vector<SampledTask>& tasks, OuterStep* step) {
  MENTOR_FAILPOINT("outer.before_update");
  progress_.Report("meta-training", {});
  const double cpu_before = CallerCpuSeconds();
  const Clock::time_point start = Clock::now();
  const auto update = [&] {
    // As it is now: its owner may have changed it since the update before.
    const v1::WorkShare share = mentor::ToProto(name_, options_.broker->ShareOf(name_));
    const learner::CallerScope caller(&cancel_, &share);
    const learner::PlaceScope place(pool_);
    return parts_.rule->Update(MakeBatch(results, tasks, spec_.lifetime().steps_per_iteration()),
                               state_.outer_step);
  };
  MENTOR_ASSIGN_OR_RETURN(const RuleReport report, update());
  MENTOR_FAILPOINT("outer.after_update");
  metrics_->outer_update_seconds.at(spec_.rule().name())->Observe(SecondsSince(start));
  const std::string& rule = spec_.rule().name();
  const MetricTable& declared = Registry<RuleEntry>::Instance().Find(rule)->metrics;
  MENTOR_RETURN_IF_ERROR(CheckDeclared(declared, report, "outer rule '" + rule + "'"));
  // Times differ from run to run, so they are kept apart from results.
  for (const auto& [metric, value] : report) {
    const bool is_time = FindMetric(declared, metric)->unit == "s";
    (is_time ? step->timings : step->results)[metric] = value;
  }
  step->timings["outer_seconds"] += CallerCpuSeconds() - cpu_before;
  step->timings["outer_wall_seconds"] += SecondsSince(start);
  return absl::OkStatus();
}

absl::Status Session::Record(Clock::time_point start, OuterStep* step) {
  step->results["env_steps"] = static_cast<double>(state_.env_steps);
  step->step = state_.outer_step;
  if (state_.outer_step % spec_.checkpoint().every() == 0 ||
      state_.outer_step == spec_.rule().outer_updates()) {
    std::map<std::string, std::string> sections;
    AddParts(parts_, &sections);
    AddState(state_, &sections);
    MENTOR_RETURN_IF_ERROR(files_.Keep());
    MENTOR_RETURN_IF_ERROR(KeepTables());
    MENTOR_ASSIGN_OR_RETURN(step->checkpoint,
                            checkpoints_.Write(state_.outer_step, std::move(sections)));
  }
  const double seconds = SecondsSince(start);
  step->timings["wall_seconds"] = seconds;
  step->timings["peak_memory_bytes"] = PeakMemoryBytes();
  progress_.SetTrained(state_.outer_step, state_.env_steps, seconds);
  step->progress = progress_.Now({});
  step->served_env_steps = options_.broker->TakeServed(name_);
  const auto record = [&](const char* event) {
    MENTOR_HISTORY(event, {{"experiment", name_},
                           {"uid", uid_},
                           {"step", state_.outer_step},
                           {"hash", step->checkpoint ? step->checkpoint->state_hash : ""}});
  };
  record("updating");
  MENTOR_RETURN_IF_ERROR(options_.store->RecordOuterStep(uid_, *step));
  record("updated");
  progress_.Report("meta-training", {});
  TellOfUpdate(*step);
  return step->checkpoint ? checkpoints_.Retain() : absl::OkStatus();
}

// Before the checkpoint: where the process dies between them, the same update writes them again.
absl::Status Session::KeepTables() {
  const std::filesystem::path folder = options_.store->ExperimentFolder(uid_);
  std::map<std::string, std::string> files;
  for (auto& [name, text] : parts_.rule->Tables()) files["artifacts/" + name] = std::move(text);
  if (!episodes_.generations().empty()) files[kEpisodesFile] = episodes_.SerializeAsString();
  for (const auto& [name, bytes] : files) {
    MENTOR_RETURN_IF_ERROR(MakeFolders(folder / "artifacts"));
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(folder / name, bytes, 0644));
    MENTOR_RETURN_IF_ERROR(files_.KeepResult(folder / name));
  }
  return absl::OkStatus();
}

// The first and the last, and between them rarer the longer it takes: a history that somebody
// reads, whether it is of minutes or of weeks.
void Session::TellOfUpdate(const OuterStep& step) {
  constexpr std::chrono::seconds kAtMostEvery{10};
  constexpr int kShare = 50;  // Of the time that has passed.
  const Clock::time_point now = Clock::now();
  const bool last = step.step == spec_.rule().outer_updates();
  if (step.checkpoint) told_checkpoint_ = step.step;
  if (now < next_told_ && !last) return;
  next_told_ = now + std::max<Clock::duration>(kAtMostEvery, (now - began_) / kShare);
  const auto number = [&](const char* metric) {
    const auto found = step.results.find(metric);
    return found == step.results.end() ? std::string("-") : absl::StrFormat("%.4g", found->second);
  };
  MENTOR_LOG(kInfo, "outer updates are done",
             {{"experiment", name_},
              {"event", "updates"},
              {"done", step.step},
              {"of", spec_.rule().outer_updates()},
              {"meta_return", number("meta_return")},
              {"checkpoint", told_checkpoint_}});
}

void Session::ShowReturn(double mean) {
  if (outer_return_ == nullptr) {
    outer_return_ = &options_.metrics->Gauge(kOuterReturn,
                                             "Mean return of the agents of the last outer update.",
                                             {{"experiment", name_.substr(name_.find('/') + 1)}});
  }
  outer_return_->Set(mean);
}

absl::Status Session::Evaluate() {
  if (spec_.evaluation().lifetimes_per_goal() == 0) return absl::OkStatus();
  const std::filesystem::path folder = EvaluationFolder(options_.store->ExperimentFolder(uid_));
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder));
  std::string state_hash;
  if (spec_.rule().outer_updates() > 0) {
    std::map<std::string, std::string> sections;
    AddParts(parts_, &sections);
    AddState(state_, &sections);
    state_hash = StateHash(sections);
  }
  std::vector<EvaluationJob> jobs;
  uint32_t lifetimes = 0;
  const std::vector<envs::Split> splits = EvaluatedSplits(*parts_.benchmark, spec_);
  for (const envs::Split split : splits) {
    // Baselines do not know which goals were for training.
    std::vector<Teacher> teachers =
        Teachers(spec_.evaluation(),
                 {.learned = parts_.rule->meta_parameters(),
                  .best = state_.best.weights,
                  .initial = initial_parameters_},
                 /*learned=*/spec_.rule().outer_updates() > 0, /*baselines=*/split == splits[0]);
    for (Teacher& teacher : teachers) {
      jobs.push_back(
          {.owner = Owner(),
           .teacher = std::move(teacher),
           .split = split,
           .folder = folder,
           .outer_step = state_.outer_step,
           .spec_hash = SpecHash(spec_),
           .state_hash = state_hash,
           .keep = [this](const std::filesystem::path& file) { return files_.KeepResult(file); }});
      lifetimes += NumLifetimes(jobs.back());
    }
  }
  progress_.BeginEvaluation(lifetimes);
  MENTOR_LOG(kInfo, "the evaluation begins",
             {{"experiment", name_}, {"event", "evaluation"}, {"lifetimes", lifetimes}});
  if (parts_.curriculum != nullptr) {
    MENTOR_LOG(kInfo,
               "the evaluation takes the benchmark's own tasks: at the limits of the curriculum, "
               "not where training has come",
               {{"experiment", name_}});
  }
  for (const EvaluationJob& job : jobs) {
    const std::string activity = absl::StrFormat("evaluating %s on %s goals",
                                                 NameOf(job.teacher.method), SplitName(job.split));
    MENTOR_RETURN_IF_ERROR(
        RunEvaluation(job, options_.broker, cancel_, progress_.evaluated(),
                      [&](const BrokerProgress& work) { progress_.ReportWork(activity, work); }));
  }
  // The last lifetimes came after the last report.
  progress_.Report("evaluated", {});
  return absl::OkStatus();
}

}  // namespace mentor::meta_learner
