#include "meta_learner/experiment/session.h"

#include <chrono>
#include <cmath>
#include <utility>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "agents/segment.h"
#include "agents/worker_pool.h"
#include "common/check.h"
#include "common/cpu_time.h"
#include "common/evaluation_method.h"
#include "common/failpoint.h"
#include "common/fair_queue.h"
#include "common/file.h"
#include "common/history.h"
#include "common/log.h"
#include "common/machine_memory.h"
#include "common/pause_point.h"
#include "common/registry.h"
#include "common/spec/spec.h"
#include "meta_learner/experiment/arithmetic.h"
#include "meta_learner/store/checkpoint.h"
#include "shards/tensor_proto.h"

namespace mentor::meta_learner {
namespace {

using Clock = ProgressReporter::Clock;

constexpr char kOuterReturn[] = "mentor_meta_outer_return";
// The score of the best weights spans so many rounds (60 lifetimes at 30 a round).
constexpr size_t kScoreRounds = 2;

// CPU time of this thread, and of pools on its behalf.
double CallerCpuSeconds() {
  return ThreadCpuSeconds() + agents::WorkerPool::CallerCpuSeconds();
}

// The round's lifetimes in their order, for the history.
std::string LifetimesOf(const methods::RoundRequest& round) {
  std::vector<std::string> names;
  for (uint32_t number = round.first_number;
       const methods::RequestedLifetime& lifetime : round.lifetimes) {
    names.push_back(history::LifetimeName(number++, lifetime.variant, lifetime.noise_number,
                                          lifetime.parameters));
  }
  return absl::StrJoin(names, ",");
}

}  // namespace

ExperimentMetrics::ExperimentMetrics(Metrics* metrics) : checkpoints(metrics) {
  for (const methods::RuleEntry* rule : methods::OuterRules()) {
    outer_updates[rule->name] = &metrics->Counter("mentor_meta_outer_updates_total",
                                                  "Outer updates.", {{"rule", rule->name}});
    outer_update_seconds[rule->name] =
        &metrics->Histogram("mentor_meta_outer_update_seconds",
                            "Wall time of the outer rule's update, without collection.",
                            UnitBuckets(), {{"rule", rule->name}});
  }
}

Session::Session(const ExperimentRunner::Options& options, ExperimentMetrics* metrics,
                 agents::WorkerPool* pool, const v1::Experiment& experiment,
                 const std::atomic<bool>& cancel)
    : options_(options),
      metrics_(metrics),
      pool_(pool),
      name_(experiment.name()),
      uid_(experiment.uid()),
      spec_(WithDefaults(experiment.spec())),
      cancel_(cancel),
      objects_(
          options.store->files.objects() == nullptr
              ? nullptr
              : std::make_unique<ExperimentObjects>(options.store->files.objects(), uid_, &cancel)),
      files_(&options.store->files, uid_, objects_.get(), &cancel),
      checkpoints_({.store = options.store,
                    .metrics = &metrics->checkpoints,
                    .objects = objects_.get(),
                    .cancel = &cancel,
                    .experiment = name_,
                    .uid = uid_,
                    .spec_hash = SpecHash(spec_),
                    .build = options.build,
                    .keep_last = spec_.checkpoint().keep_last(),
                    .averaged = spec_.evaluation().averaged_checkpoints(),
                    .every = spec_.checkpoint().every()}),
      progress_({.records = &options.store->records,
                 .experiment = name_,
                 .outer_updates_total = spec_.rule().outer_updates()}) {}

Session::~Session() {
  if (outer_return_ != nullptr) options_.metrics->RemoveGauge(kOuterReturn, outer_return_);
}

absl::Status Session::Run() {
  MENTOR_RETURN_IF_ERROR(MakeAllParts());
  const std::filesystem::path folder = options_.store->files.ExperimentFolder(uid_);
  MENTOR_RETURN_IF_ERROR(files_.BringBack());
  MENTOR_RETURN_IF_ERROR(
      KeepFingerprint(folder, options_.fingerprint, spec_,
                      absl::StrCat("mentorctl get ", name_.substr(name_.find('/') + 1),
                                   " --spec | mentorctl create -f -")));
  MENTOR_RETURN_IF_ERROR(KeepLearnerArithmetic(folder, name_, options_.board));
  MENTOR_RETURN_IF_ERROR(files_.Keep());
  MENTOR_RETURN_IF_ERROR(Resume());
  progress_.ExpectEvaluation(EvaluationCost(*parts_.benchmark, spec_).env_steps);
  while (!IsTrained(state_, spec_.rule())) MENTOR_RETURN_IF_ERROR(OuterUpdate());
  if (state_.outer_step < spec_.rule().outer_updates()) {
    MENTOR_LOG(kInfo, "training ends: for as long as rule.patience says, no score was better",
               {{"experiment", name_}, {"event", "patience"}, {"done", state_.outer_step}});
  }
  progress_.EndTraining();
  return Evaluate();
}

absl::Status Session::MakeAllParts() {
  // The lists of goals were drawn at creation and take no longer now.
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
                             {"plans", parts_.rule->needs().names_tasks}});
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
  const methods::RuleNeeds needs = parts_.rule->needs();
  if (!needs.decisions_inside_lifetime) return absl::OkStatus();
  auto episodes = ReadEpisodes(options_.store->files.ExperimentFolder(uid_));
  if (absl::IsDataLoss(episodes.status())) {
    // Only reports lack them.
    MENTOR_LOG(kWarning, "episodes of meta-training are lost",
               {{"experiment", name_}, {"why", episodes.status()}});
    return absl::OkStatus();
  }
  MENTOR_RETURN_IF_ERROR(episodes.status());
  episodes_ = *std::move(episodes);
  ForgetFrom(RoundOf(needs, spec_, state_.outer_step), &episodes_);
  return absl::OkStatus();
}

struct Session::Learning {
  Learning(const std::atomic<bool>* cancel, const v1::WorkShare& of, agents::WorkerPool* pool)
      : share(of), caller(cancel, &share), place(pool) {}

  const double cpu_before = CallerCpuSeconds();
  const Clock::time_point start = Clock::now();
  const v1::WorkShare share;
  const agents::CallerScope caller;
  const agents::PlaceScope place;
};

absl::Status Session::OuterUpdate() {
  const Clock::time_point start = Clock::now();
  const methods::RuleNeeds needs = parts_.rule->needs();
  options_.board->SetStage(name_, {uid_, state_.outer_step, spec_.rule().outer_updates()});
  update_ = std::make_unique<Update>();
  const absl::Cleanup ends = [this] { update_.reset(); };
  OuterStep& step = update_->step;
  update_->round = RoundOf(needs, spec_, state_.outer_step);
  const absl::StatusOr<methods::RuleReport> report = parts_.rule->Run(this, state_.outer_step);
  MENTOR_RETURN_IF_ERROR(report.status());
  MENTOR_RETURN_IF_ERROR(EndLearning());
  MENTOR_RETURN_IF_ERROR(Report(*report, &step));
  if (needs.names_tasks) {
    EndRequests();
  } else {
    MENTOR_RETURN_IF_ERROR(EndRound());
  }
  metrics_->outer_updates.at(spec_.rule().name())->Increment();
  if (const auto mean = step.results.find("shaped_return"); mean != step.results.end())
    ShowReturn(mean->second);
  ++state_.outer_step;
  return Record(start, &step);
}

absl::StatusOr<methods::LifetimeBatch> Session::Collect() {
  const methods::RuleNeeds needs = parts_.rule->needs();
  const Round& round = update_->round;
  MENTOR_CHECK(update_->results.empty() && !needs.names_tasks);
  MENTOR_ASSIGN_OR_RETURN(const std::vector<SampledTask> tasks, Tasks(round));
  MENTOR_ASSIGN_OR_RETURN(std::vector<v1::Shard> shards,
                          RoundShards(Owner(), tasks, needs, round, state_.lives));
  MENTOR_ASSIGN_OR_RETURN(
      update_->results, RunShards(std::move(shards), parts_.rule->meta_parameters(), tasks.size()));

  OuterStep& step = update_->step;
  update_->outcomes = JoinOutcomes(update_->results);
  step.results.merge(RoundResults(round, update_->outcomes, tasks, update_->results));
  if (round.iteration) AddRound(round, tasks, update_->outcomes, &episodes_);
  // Comes before the update, so that the lifetimes belong to the kept weights.
  if (round.last) {
    state_.best.Consider(update_->outcomes, kScoreRounds * spec_.rule().lifetimes_per_update(),
                         parts_.rule->meta_parameters(), state_.outer_step);
  }
  if (std::isfinite(state_.best.score)) step.results["best_score"] = state_.best.score;
  MENTOR_RETURN_IF_ERROR(BeginLearning());
  return MakeBatch(update_->results, tasks, spec_.lifetime().steps_per_iteration());
}

absl::Status Session::GoOnAs(std::vector<uint32_t> parents) {
  update_->parents = std::move(parents);
  return absl::OkStatus();
}

absl::Status Session::EndRound() {
  const Round& round = update_->round;
  if (round.last) {
    MENTOR_RETURN_IF_ERROR(
        ObserveLives(round, LastAchievements(update_->outcomes, update_->results), &update_->step));
  }
  state_.lives.clear();
  if (round.last) return absl::OkStatus();
  for (ShardResult& result : update_->results) state_.lives.push_back(std::move(result.snapshot));
  return update_->parents ? TakeOver(*update_->parents, &state_.lives) : absl::OkStatus();
}

absl::StatusOr<methods::LifetimeBatch> Session::Collect(const methods::RoundRequest& request) {
  MENTOR_RETURN_IF_ERROR(EndLearning());
  MENTOR_HISTORY("planned", {{"experiment", name_},
                             {"uid", uid_},
                             {"step", state_.outer_step + 1},
                             {"round", update_->requests++},
                             {"lifetimes", LifetimesOf(request)},
                             {"learning", request.outer_learning},
                             {"episodes", request.deterministic_episodes}});
  auto [tasks, shards] = ShardsOf(Owner(), request);
  MENTOR_ASSIGN_OR_RETURN(const std::vector<ShardResult> results,
                          RunShards(std::move(shards), request.meta_parameters, tasks.size()));
  // Results of the first round stay.
  update_->step.results.merge(
      RoundResults({.generation = state_.outer_step}, JoinOutcomes(results), tasks, results));
  MENTOR_RETURN_IF_ERROR(BeginLearning());
  return MakeBatch(results, tasks, spec_.lifetime().steps_per_iteration());
}

void Session::EndRequests() {
  MENTOR_HISTORY("planned", {{"experiment", name_},
                             {"uid", uid_},
                             {"step", state_.outer_step + 1},
                             {"round", update_->requests},
                             {"lifetimes", ""},
                             {"learning", false},
                             {"episodes", 0}});
  // Such rules have many agents, and no weights that one score could rank.
  state_.best.weights = parts_.rule->meta_parameters().clone();
}

absl::StatusOr<std::vector<SampledTask>> Session::Tasks(const Round& round) const {
  const methods::RuleNeeds needs = parts_.rule->needs();
  MENTOR_ASSIGN_OR_RETURN(std::vector<SampledTask> tasks, DrawWithin(cancel_, [&] {
                            return TrainingTasks(*parts_.benchmark, spec_, round.generation,
                                                 AlikeLifetimes(needs));
                          }));
  if (parts_.curriculum == nullptr) return tasks;
  // A curriculum changes tasks that are one alike.
  const size_t sets = parts_.benchmark->Tasks(envs::Split::kTrain).size();
  const size_t shared = needs.alike == methods::RuleNeeds::Alike::kTask ? tasks.size() / sets : 1;
  for (size_t i = 0; i < tasks.size(); ++i) {
    parts_.curriculum->ChangeTask(round.generation, static_cast<uint32_t>(i - i % shared),
                                  &tasks[i].task);
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

absl::StatusOr<std::vector<ShardResult>> Session::RunShards(std::vector<v1::Shard> shards,
                                                            const torch::Tensor& meta_parameters,
                                                            size_t lifetimes) {
  const Clock::time_point start = Clock::now();
  const uint64_t steps = uint64_t{shards[0].iterations()} * agents::StepsOfIteration(shards[0], 0);
  auto results = options_.board->Run(
      std::move(shards), shards::ToProto(meta_parameters), cancel_,
      [&](const RunProgress& work) { progress_.ReportWork("meta-training", work); });
  if (!results.ok()) return results;
  state_.env_steps += lifetimes * steps;
  progress_.SetSteps(state_.env_steps);
  OuterStep& step = update_->step;
  step.timings["collect_wall_seconds"] += SecondsSince(start);
  for (const auto& [name, seconds] : PhaseTimings(*results)) step.timings[name] += seconds;
  for (const ShardResult& result : *results)
    step.results["nonfinite_updates"] += static_cast<double>(result.nonfinite_updates);
  return results;
}

absl::Status Session::BeginLearning() {
  MENTOR_FAILPOINT("outer.before_update");
  progress_.Report("meta-training", {});
  // The share as it is now: the owner may have changed it since the update before.
  update_->learning = std::make_unique<Learning>(
      &cancel_, mentor::ToProto(name_, options_.board->ShareOf(name_)), pool_);
  return absl::OkStatus();
}

absl::Status Session::EndLearning() {
  if (update_->learning == nullptr) return absl::OkStatus();
  const double cpu_before = update_->learning->cpu_before;
  const Clock::time_point start = update_->learning->start;
  update_->learning.reset();
  MENTOR_FAILPOINT("outer.after_update");
  metrics_->outer_update_seconds.at(spec_.rule().name())->Observe(SecondsSince(start));
  update_->step.timings["outer_seconds"] += CallerCpuSeconds() - cpu_before;
  update_->step.timings["outer_wall_seconds"] += SecondsSince(start);
  return absl::OkStatus();
}

absl::Status Session::Report(const methods::RuleReport& report, OuterStep* step) const {
  const std::string& rule = spec_.rule().name();
  const MetricTable& declared = Registry<methods::RuleEntry>::Instance().Find(rule)->metrics;
  MENTOR_RETURN_IF_ERROR(CheckDeclared(declared, report, "outer rule '" + rule + "'"));
  // Times differ from run to run, so they are kept apart from results.
  for (const auto& [metric, value] : report) {
    const bool is_time = FindMetric(declared, metric)->unit == "s";
    (is_time ? step->timings : step->results)[metric] = value;
  }
  return absl::OkStatus();
}

std::map<std::string, std::string> Session::Sections() const {
  std::map<std::string, std::string> sections;
  AddParts(parts_, &sections);
  AddState(state_, spec_.rule(), &sections);
  return sections;
}

absl::Status Session::Record(Clock::time_point start, OuterStep* step) {
  step->results["env_steps"] = static_cast<double>(state_.env_steps);
  step->step = state_.outer_step;
  const bool last = IsTrained(state_, spec_.rule());
  if (state_.outer_step % spec_.checkpoint().every() == 0 || last) {
    MENTOR_RETURN_IF_ERROR(files_.Keep());
    MENTOR_RETURN_IF_ERROR(KeepTables());
    MENTOR_ASSIGN_OR_RETURN(step->checkpoint, checkpoints_.Write(state_.outer_step, Sections()));
  }
  const double seconds = SecondsSince(start);
  step->timings["wall_seconds"] = seconds;
  step->timings["peak_memory_bytes"] = PeakMemoryBytes();
  progress_.SetTrained(state_.outer_step, state_.env_steps, seconds);
  if (last) progress_.EndTraining();
  step->progress = progress_.Now({});
  step->served_env_steps = options_.board->TakeServed(name_);
  const auto record = [&](const char* event) {
    MENTOR_HISTORY(event, {{"experiment", name_},
                           {"uid", uid_},
                           {"step", state_.outer_step},
                           {"hash", step->checkpoint ? step->checkpoint->state_hash : ""}});
  };
  record("updating");
  MENTOR_RETURN_IF_ERROR(options_.store->results.RecordOuterStep(uid_, *step));
  record("updated");
  progress_.Report("meta-training", {});
  TellOfUpdate(*step, last);
  return step->checkpoint ? checkpoints_.Retain() : absl::OkStatus();
}

// Precedes the checkpoint: if the process dies between them, the same update writes both again.
absl::Status Session::KeepTables() {
  const std::filesystem::path folder = options_.store->files.ExperimentFolder(uid_);
  std::map<std::string, std::string> files;
  for (auto& [name, text] : parts_.rule->Tables()) files["artifacts/" + name] = std::move(text);
  if (!episodes_.generations().empty()) files[kEpisodesFile] = SealedEpisodes(episodes_);
  for (const auto& [name, bytes] : files) {
    MENTOR_RETURN_IF_ERROR(MakeFolders(folder / "artifacts"));
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(folder / name, bytes));
    MENTOR_RETURN_IF_ERROR(files_.KeepResult(folder / name));
  }
  return absl::OkStatus();
}

// Logs the first and the last update, and fewer in between the longer the run takes.
void Session::TellOfUpdate(const OuterStep& step, bool last) {
  constexpr std::chrono::seconds kAtMostEvery{10};
  constexpr int kShare = 50;  // A share of the elapsed time.
  const Clock::time_point now = Clock::now();
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
  const std::filesystem::path folder =
      EvaluationFolder(options_.store->files.ExperimentFolder(uid_));
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder));
  const std::string state_hash = spec_.rule().outer_updates() > 0 ? StateHash(Sections()) : "";
  const auto files = checkpoints_.Last(state_.outer_step);
  const absl::StatusOr<torch::Tensor> average =
      files.ok() ? AverageParameters(*files, spec_) : files.status();
  std::vector<EvaluationJob> jobs;
  uint32_t lifetimes = 0;
  for (EvaluatedTeacher& one : EvaluatedTeachers(*parts_.benchmark, spec_,
                                                 {.learned = parts_.rule->meta_parameters(),
                                                 .best = state_.best.weights,
                                                 .average = average.value_or(torch::Tensor()),
                                                 .initial = initial_parameters_})) {
    // The others need no average.
    if (!average.ok() && one.teacher.method == v1::EVALUATION_METHOD_LEARNED_AVERAGE) continue;
    jobs.push_back(
        {.owner = Owner(),
         .teacher = std::move(one.teacher),
         .split = one.split,
         .folder = folder,
         .outer_step = state_.outer_step,
         .spec_hash = SpecHash(spec_),
         .state_hash = state_hash,
         .averaged_checkpoints = files.ok() ? static_cast<uint32_t>(files->size()) : 0,
         .keep = [this](const std::filesystem::path& file) { return files_.KeepResult(file); }});
    lifetimes += NumLifetimes(jobs.back());
  }
  progress_.BeginEvaluation(lifetimes);
  options_.board->SetStage(name_, {uid_, state_.outer_step, state_.outer_step});
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
        RunEvaluation(job, options_.board, cancel_, progress_.evaluated(),
                      [&](const RunProgress& work) { progress_.ReportWork(activity, work); }));
  }
  // The last lifetimes followed the last report.
  progress_.Report("evaluated", {});
  return average.status();
}

}  // namespace mentor::meta_learner
