#include "cli/local/run_report.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/time/time.h>

#include "cli/local/processor.h"
#include "cli/local/run_bundles.h"
#include "cli/local/run_hash.h"
#include "cli/local/state_experiments.h"
#include "cli/report/records.h"
#include "common/check.h"
#include "common/file.h"
#include "common/protocol.h"
#include "common/resources/names.h"
#include "common/resources/states.h"
#include "common/spec/canonical.h"
#include "common/spec/differences.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "envs/benchmark.h"
#include "meta_learner/experiment/checked_spec.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/experiment/parts.h"
#include "meta_learner/experiment/trained_episodes.h"
#include "meta_learner/store/state_folder.h"
#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"

namespace mentor {
namespace {

// Number of lifetimes whose signals are drawn.
constexpr size_t kSignalSamples = 8;

// Outer updates of the published experiments (methods/black_box/README.md#hyperparameters); other
// benchmarks return 0.
uint32_t PaperUpdates(const v1::ExperimentSpec& spec) {
  if (spec.benchmark().name() == "ml1") return 500;
  if (spec.benchmark().name() == "ml10") return 1500;
  return 0;
}

std::set<std::string> ListedTasks(const envs::Benchmark& benchmark, envs::Split split) {
  std::set<std::string> listed;
  for (const envs::TaskSet& set : benchmark.Tasks(split)) {
    for (const v1::EnvironmentTask& task : set.tasks) listed.insert(CanonicalText(task));
  }
  return listed;
}

// Returns the identity that the runs of a method share, and the part that all comparable runs
// share.
report::Identity IdentityOf(const v1::ExperimentSpec& spec, const envs::Benchmark* benchmark) {
  report::Identity identity;
  identity.rule = spec.rule().name();
  identity.signal = spec.signal().name();
  identity.seed = spec.seed();
  if (benchmark != nullptr) {
    identity.training_goals = ListedTasks(*benchmark, envs::Split::kTrain);
    identity.test_goals = ListedTasks(*benchmark, envs::Split::kTest);
  }
  if (benchmark == nullptr || !identity.training_goals.empty() || !identity.test_goals.empty())
    identity.goal_seed = spec.benchmark().goal_seed();
  identity.lifetimes_per_update = spec.rule().lifetimes_per_update();
  identity.baseline_iteration_steps = static_cast<int>(spec.lifetime().steps_per_iteration());
  v1::ExperimentSpec method = spec;
  method.clear_display_name();
  method.clear_checkpoint();
  method.clear_seed();
  method.mutable_benchmark()->clear_goal_seed();
  identity.method = CanonicalText(method);
  identity.settings = FlatSpec(method);
  method.clear_rule();
  method.clear_signal();
  method.clear_evaluation();
  identity.protocol = CanonicalText(method);
  const methods::InnerLoopEntry* loop =
      methods::FindInnerLoop(methods::InnerLoopOf(spec.rule()).name());
  identity.iteration_steps = identity.baseline_iteration_steps * loop->collections;
  return identity;
}

// Returns the evaluation at the end of the run and those of `mentor evaluate`, for the newest
// evaluated weights. *data receives their outer update.
absl::StatusOr<std::vector<v1::EvaluationShard>> EvaluationsOf(
    const std::filesystem::path& experiment, report::ReportData* data) {
  std::map<uint32_t, std::string> states = {{data->outer_updates_made, data->identity.state_hash}};
  const meta_learner::EvaluatedRun run = {
      .spec_hash = data->spec_hash, .state_hash = [&](uint32_t outer_step) {
        const auto [state, is_new] = states.try_emplace(outer_step);
        meta_learner::CheckpointInfo info;
        const auto file = experiment / "checkpoints" / meta_learner::CheckpointFileName(outer_step);
        if (is_new &&
            meta_learner::ReadCheckpointOf(file, {.spec_hash = data->spec_hash}, &info).ok())
          state->second = info.state_hash;
        return state->second;
      }};
  MENTOR_ASSIGN_OR_RETURN(std::vector<v1::EvaluationShard> shards,
                          meta_learner::ReadEvaluation(experiment, &run));
  for (const std::filesystem::path& folder : EvaluationFolders(experiment)) {
    MENTOR_ASSIGN_OR_RETURN(std::vector<v1::EvaluationShard> more,
                            meta_learner::ReadShards(folder, &run));
    std::move(more.begin(), more.end(), std::back_inserter(shards));
  }
  // Lives of another length, and means of other checkpoints, are numbers of their own.
  const auto others = std::erase_if(shards, [&](const v1::EvaluationShard& shard) {
    const int iterations =
        shard.lifetimes_size() > 0 ? shard.lifetimes(0).segment_episodes_size() : 0;
    return iterations > 0 && iterations != data->iterations;  // 0: an earlier build wrote it.
  });
  uint32_t averaged = 0;
  const auto means = std::erase_if(shards, [&](const v1::EvaluationShard& shard) {
    if (shard.taught_by() != v1::EVALUATION_METHOD_LEARNED_AVERAGE) return false;
    if (averaged == 0) averaged = shard.averaged_checkpoints();
    return shard.averaged_checkpoints() != averaged;
  });
  if (others + means > 0) {
    data->facts.emplace_back("Left out",
                             others > 0 ? "evaluations of lives of another length, which 'mentor "
                                          "evaluate' printed"
                                        : "means of other numbers of checkpoints");
  }
  if (averaged > 0)
    data->facts.emplace_back("Averaged weights", absl::StrFormat("%d checkpoints", averaged));
  std::set<uint64_t>& updates = data->evaluated_before;
  for (const v1::EvaluationShard& shard : shards) updates.insert(shard.outer_step());
  if (updates.empty()) return shards;
  data->evaluated_update = static_cast<uint32_t>(*updates.rbegin());
  updates.erase(data->evaluated_update);
  std::erase_if(shards,
                [&](const auto& shard) { return shard.outer_step() != data->evaluated_update; });
  return shards;
}

// The checkpoint from which an experiment continued. Its name is a file
// (RUN/experiments/UID/checkpoints/00000010.ckpt) or a resource
// (experiments/ID/checkpoints/00000010).
struct Origin {
  std::string name;
  uint32_t outer_update = 0;
};
std::optional<Origin> OriginOf(const v1::Experiment& experiment) {
  const std::filesystem::path path = experiment.source_checkpoint();
  Origin origin;
  if (!absl::SimpleAtoi(path.stem().string(), &origin.outer_update)) return std::nullopt;
  const std::filesystem::path owner = path.parent_path().parent_path(),
                              state = owner.parent_path().parent_path();
  const bool is_run =
      path.extension() == ".ckpt" && !state.empty() && ExperimentsIn(state).size() < 2;
  origin.name = (is_run ? state : owner).lexically_normal().string();
  return origin;
}

// Adds what a reader wants to know of the run in words, and where it continued from.
void AddFacts(const v1::Experiment& experiment, const v1::ExperimentSpec& spec,
              const envs::Benchmark* benchmark, report::ReportData* data) {
  auto& facts = data->facts;
  facts = {{"Seed", absl::StrCat(spec.seed())},
           {"Spec", data->spec_hash.substr(0, 16)},
           {"Mentor", std::string(kBuildVersion)},
           {"Records written on", ProcessorName()},
           {"State", StateText(experiment.state())}};
  if (data->identity.goal_seed > 0)
    facts.emplace_back("Goal seed", absl::StrCat(data->identity.goal_seed));
  if (spec.has_curriculum()) {
    facts.emplace_back(
        "Evaluation",
        "the benchmark's own tasks: at the limits of the curriculum, not where training is now");
  }
  if (const std::string cut =
          benchmark == nullptr ? "" : meta_learner::CutEpisodes(*benchmark, spec);
      !cut.empty())
    facts.emplace_back("Episodes", cut);
  if (const auto origin = OriginOf(experiment)) {
    data->origin = origin->name;
    facts.emplace_back(
        "From", absl::StrFormat("%s, after outer update %d", origin->name, origin->outer_update));
  }
  const auto add_date = [&](const char* name, const google::protobuf::Timestamp& time) {
    facts.emplace_back(name, absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::FromTimeT(time.seconds()),
                                              absl::UTCTimeZone()));
  };
  if (experiment.has_start_time()) add_date("Began", experiment.start_time());
  if (experiment.has_end_time()) add_date("Ended", experiment.end_time());
}

// Adds the newest of the generations whose agents have lived longest.
absl::Status AddBeside(const std::filesystem::path& experiment, report::ReportData* data) {
  MENTOR_ASSIGN_OR_RETURN(const v1::TrainedLifetimes all, meta_learner::ReadEpisodes(experiment));
  const v1::TrainedGeneration* chosen = nullptr;
  const auto lived = [](const v1::TrainedGeneration& generation) {
    return generation.lifetimes().empty() ? 0 : generation.lifetimes(0).segment_episodes_size();
  };
  for (const v1::TrainedGeneration& generation : all.generations()) {
    if (chosen == nullptr || lived(generation) >= lived(*chosen)) chosen = &generation;
  }
  if (chosen == nullptr) return absl::OkStatus();
  for (const v1::EvaluatedLifetime& lifetime : chosen->lifetimes())
    data->beside.push_back(RowOf(v1::EvaluationShard(), lifetime, nullptr, /*goal_seed=*/0));
  data->beside_known = meta_learner::KeptEpisodes(std::max<size_t>(1, data->beside.size()));
  return absl::OkStatus();
}

// Adds the evaluated lifetimes as rows, each once, and the signals of the first ones.
void AddRows(const std::vector<v1::EvaluationShard>& shards, const envs::Benchmark* benchmark,
             const v1::ExperimentSpec& spec, report::ReportData* data) {
  // Steps per episode when all episodes have the same number.
  const int episode_steps = benchmark != nullptr && benchmark->info().independent_episodes
                                ? benchmark->info().episode_steps
                                : 0;
  // Show signals on test tasks, if there are any.
  const bool has_test = std::any_of(shards.begin(), shards.end(),
                                    [](const auto& shard) { return shard.split() == "test"; });
  // `mentor evaluate` may repeat a lifetime of the evaluation at the end of the run.
  std::set<std::tuple<v1::EvaluationMethod, std::string, std::string, uint32_t, uint32_t, uint64_t>>
      known;
  for (const v1::EvaluationShard& shard : shards) {
    for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes()) {
      // For tasks given to `mentor evaluate` by name, only the numbers of goals are known.
      const bool is_own = shard.tasks().empty() || shard.tasks() == shard.split();
      report::EvaluationRow row =
          RowOf(shard, lifetime, is_own ? benchmark : nullptr, spec.benchmark().goal_seed());
      if (!known.insert({row.method, row.split, row.environment, row.goal, row.lifetime, row.seed})
               .second)
        continue;
      if (row.split == (has_test ? "test" : "train") &&
          row.method == v1::EVALUATION_METHOD_LEARNED && lifetime.signal_size() > 0 &&
          data->signals.size() < kSignalSamples) {
        data->signals.push_back({.signal = {lifetime.signal().begin(), lifetime.signal().end()},
                                 .shaped = {lifetime.shaped().begin(), lifetime.shaped().end()},
                                 .episode_steps = episode_steps,
                                 .iterations = data->iterations});
      }
      data->evaluation.push_back(std::move(row));
    }
  }
}

absl::StatusOr<std::vector<report::MapSample>> MapsOf(const std::filesystem::path& experiment) {
  std::vector<report::MapSample> samples;
  const auto bytes = ReadFile(MapsFile(experiment), uint64_t{1} << 30);
  if (absl::IsNotFound(bytes.status())) return samples;
  MENTOR_RETURN_IF_ERROR(bytes.status());
  v1::SignalMaps maps;
  if (!maps.ParseFromString(*bytes))
    return absl::DataLossError(MapsFile(experiment).string() + " is damaged; remove it");
  for (const v1::SignalMap& map : maps.map()) {
    samples.push_back({.name = map.name(),
                       .lifetime = map.lifetime(),
                       .iteration = map.iteration(),
                       .rows = static_cast<int>(map.rows()),
                       .columns = static_cast<int>(map.columns()),
                       .values = {map.values().begin(), map.values().end()}});
  }
  return samples;
}

}  // namespace

std::vector<report::TrainingPoint> TrainingPoints(
    const std::map<std::string, meta_learner::Series>& points) {
  std::map<uint32_t, report::TrainingPoint> by_step;
  for (const auto& [metric, series] : points) {
    for (const auto& [step, value] : series) {
      report::TrainingPoint& point = by_step[step];
      point.outer_update = step;
      if (metric == "env_steps") {
        point.env_steps = static_cast<uint64_t>(value);
      } else {
        point.metrics[metric] = value;
      }
    }
  }
  std::vector<report::TrainingPoint> all;
  for (auto& [step, point] : by_step) all.push_back(std::move(point));
  return all;
}

report::EvaluationRow RowOf(const v1::EvaluationShard& shard, const v1::EvaluatedLifetime& lifetime,
                            const envs::Benchmark* benchmark, uint32_t goal_seed) {
  report::EvaluationRow row{
      .method = shard.taught_by(),
      .split = shard.tasks().empty() ? shard.split() : shard.tasks(),
      .environment = lifetime.environment(),
      .lifetime = lifetime.number(),
      .goal = lifetime.goal(),
      .lifetime_episodes = lifetime.episode_success_size(),
      .segment_episodes = {lifetime.segment_episodes().begin(), lifetime.segment_episodes().end()},
      .episode_success = {lifetime.episode_success().begin(), lifetime.episode_success().end()},
      .episode_return = {lifetime.episode_return().begin(), lifetime.episode_return().end()},
      .seed = shard.seed()};
  if (benchmark != nullptr) {
    const bool is_test = shard.split() == meta_learner::SplitName(envs::Split::kTest);
    for (const envs::TaskSet& set :
         benchmark->Tasks(is_test ? envs::Split::kTest : envs::Split::kTrain)) {
      if (set.name != row.environment) continue;
      row.goal_seed = set.tasks.empty() ? row.seed : goal_seed;
      const v1::EnvironmentTask task =
          set.tasks.empty() ? set.draw({.purpose = Purpose::kTasks}, 0) : set.tasks[0];
      row.has_goals = task.parameters_size() > 0;
    }
  }
  row.episode_success.insert(row.episode_success.end(), lifetime.deterministic_success().begin(),
                             lifetime.deterministic_success().end());
  row.episode_return.insert(row.episode_return.end(), lifetime.deterministic_return().begin(),
                            lifetime.deterministic_return().end());
  return row;
}

std::filesystem::path EvaluationsFolder(const std::filesystem::path& experiment) {
  return experiment / "evaluations";
}

std::filesystem::path MapsFile(const std::filesystem::path& experiment) {
  return EvaluationsFolder(experiment) / "maps.binpb";
}

std::vector<std::filesystem::path> EvaluationFolders(const std::filesystem::path& experiment) {
  std::vector<std::filesystem::path> folders;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator entry(EvaluationsFolder(experiment), error),
       end;
       !error && entry != end; entry.increment(error)) {
    if (entry.depth() == 1 && entry->is_directory()) folders.push_back(entry->path());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

std::string NameOfFolder(const std::filesystem::path& folder) {
  const std::filesystem::path whole = std::filesystem::absolute(folder).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename();
}

absl::StatusOr<report::ReportData> ReportOf(const std::filesystem::path& folder) {
  MENTOR_ASSIGN_OR_RETURN(const RunState state, FindRunState(folder));
  const RunFolder& run = state.folder;
  std::error_code error;
  // Opening would make an empty store.
  if (!std::filesystem::exists(run.state / "mentor.db", error)) {
    return absl::NotFoundError(absl::StrCat(
        run.state.string(),
        " has no mentor.db: copy the whole folder, or get the run with 'mentor fetch'"));
  }
  auto opened = meta_learner::OpenStore(run.state);
  const bool in_use = ReasonOf(opened.status()) == ReasonName(Reason::kInUse);
  if (in_use) opened = meta_learner::OpenStoreToRead({.folder = run.state});
  MENTOR_ASSIGN_OR_RETURN(const auto store, std::move(opened));
  MENTOR_ASSIGN_OR_RETURN(const auto experiments, store->records.InStates(AllStates()));
  for (const v1::Experiment& experiment : experiments) {
    if (!std::filesystem::equivalent(store->files.ExperimentFolder(experiment.uid()),
                                     run.experiment, error))
      continue;
    const std::string& rule = experiment.spec().rule().name();
    if (const auto& rules = Registry<methods::RuleEntry>::Instance(); rules.Find(rule) == nullptr)
      return absl::FailedPreconditionError(rules.Unknown("outer rule", rule) +
                                           "; use the version of Mentor that ran it");
    MENTOR_ASSIGN_OR_RETURN(report::ReportData data, ReportDataOf(store.get(), experiment));
    data.goes_on = in_use && IsAtWork(experiment.state());
    if (std::filesystem::equivalent(folder, run.state, error)) data.folder = run.state.string();
    return data;
  }
  return absl::NotFoundError(run.experiment.string() + " is not in its store");
}

absl::StatusOr<std::filesystem::path> WriteRecordsOf(const std::filesystem::path& run,
                                                     const std::filesystem::path& otherwise) {
  MENTOR_ASSIGN_OR_RETURN(const report::ReportData data, ReportOf(run));
  WarnOfDamage({.outer_step = data.outer_updates_made, .damaged = data.damaged_checkpoints});
  const std::filesystem::path own = std::filesystem::path(data.folder) / report::kRecordsFolder;
  const absl::Status written = report::WriteRecords(data, own);
  if (written.ok()) return own;
  if (otherwise.empty()) return written;
  MENTOR_RETURN_IF_ERROR(report::WriteRecords(data, otherwise));
  return otherwise;
}

absl::StatusOr<report::ReportData> ReportDataOf(meta_learner::Store* store,
                                                const v1::Experiment& experiment) {
  const v1::ExperimentSpec spec = WithDefaults(experiment.spec());
  report::ReportData data;
  // A run is alone in its folder and takes its name; a fetched experiment has its own name.
  const std::string id = ExperimentIdOf(experiment.name()).value_or("run");
  const std::filesystem::path own = store->files.ExperimentFolder(experiment.uid());
  data.run = id == "run" ? NameOfFolder(store->files.folder()) : id;
  data.folder = (id == "run" ? store->files.folder() : own).string();
  data.spec_file = (own / "spec.txtpb").string();
  if (experiment.state() == v1::Experiment::STATE_FAILED)
    data.failure = experiment.error().message();
  data.succeeded = experiment.state() == v1::Experiment::STATE_SUCCEEDED;
  data.spec_hash = SpecHash(spec);
  data.title = spec.display_name().empty() ? experiment.name() : spec.display_name();
  data.iterations = static_cast<int>(spec.lifetime().iterations());
  data.outer_updates_total = spec.rule().outer_updates();
  if (data.succeeded && experiment.progress().outer_updates() < spec.rule().outer_updates())
    data.patience = spec.rule().patience();
  data.outer_updates_paper = PaperUpdates(spec);
  Violations ignored;
  const auto parts = meta_learner::LookAtParts(spec, &ignored);
  methods::RuleNeeds needs;
  if (parts.rule != nullptr) needs = parts.rule->needs();
  data.seg0_is_control = needs.signal_network() && !needs.conditions();
  data.signal_role = needs.signal_network()
                         ? absl::AsciiStrToLower(v1::SignalRole_Name(spec.signal().role()))
                         : "";
  data.meta_learns = needs.meta_learns;
  data.spec_text = meta_learner::PrintWithDefaults(spec, needs.signal_network());
  data.measures_nothing =
      spec.rule().outer_updates() == 0 &&
      (spec.evaluation().baseline().empty() || spec.evaluation().lifetimes_per_goal() == 0);
  const envs::Benchmark* benchmark = parts.benchmark.get();
  data.identity = IdentityOf(spec, benchmark);
  data.identity.experiment = experiment.uid();
  AddFacts(experiment, spec, benchmark, &data);
  if (const auto hash = HashRun(own); hash.ok()) {
    data.facts.emplace_back(absl::StrFormat("Hash after outer update %d", hash->outer_step),
                            hash->state_hash);
    data.identity.state_hash = hash->state_hash;
    data.outer_updates_made = hash->outer_step;
    data.damaged_checkpoints = hash->damaged;
  }

  MENTOR_ASSIGN_OR_RETURN(const auto points, store->results.Points(experiment.uid()));
  data.metrics = meta_learner::AllMetrics(spec);
  data.training = TrainingPoints(points);
  MENTOR_ASSIGN_OR_RETURN(data.maps, MapsOf(own));
  MENTOR_ASSIGN_OR_RETURN(const auto shards, EvaluationsOf(own, &data));
  MENTOR_RETURN_IF_ERROR(AddBeside(own, &data));
  AddRows(shards, benchmark, spec, &data);
  return data;
}

absl::StatusOr<RunFolder> FindRun(const std::filesystem::path& folder) {
  std::error_code error;
  if (std::filesystem::is_directory(folder / "checkpoints", error)) {
    return RunFolder{.state = folder.parent_path().parent_path(), .experiment = folder};
  }
  const std::vector<StateExperiment> found = ExperimentsIn(folder);
  if (found.size() == 1) return RunFolder{.state = folder, .experiment = found[0].folder};
  if (found.size() > 1) {
    constexpr size_t kNamed = 10;
    std::string all;
    for (size_t i = 0; i < std::min(found.size(), kNamed); ++i) {
      absl::StrAppend(&all, "\n  ", found[i].folder.string(), "  ", found[i].id);
    }
    if (found.size() > kNamed) absl::StrAppend(&all, "\n  and ", found.size() - kNamed, " more");
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s holds %d experiments; name the folder of one:%s", folder.string(), found.size(), all));
  }
  return absl::NotFoundError(absl::StrFormat(
      "%s %s: expected the folder that `mentor run --out` wrote, or an experiment's folder with "
      "checkpoints/ in it",
      folder.string(), std::filesystem::exists(folder, error) ? "is not a run" : "does not exist"));
}

absl::StatusOr<RunState> FindRunState(const std::filesystem::path& path) {
  // The path may end in a slash: "runs/a/".
  RunState state = {
      .run = path.has_filename() ? path : path.parent_path(), .folder = {}, .checkpoint = {}};
  std::error_code error;
  uint32_t step = 0;
  const bool exists = std::filesystem::exists(state.run, error);
  if (state.run.extension() == ".ckpt") {
    if (!exists)
      return absl::NotFoundError(absl::StrCat("there is no checkpoint ", state.run.string()));
    state.checkpoint = state.run;
    state.run = std::filesystem::absolute(state.run).parent_path().parent_path();
  } else if (!exists && state.run.has_parent_path() &&
             absl::SimpleAtoi(state.run.filename().string(), &step)) {
    state.run = state.run.parent_path();
  }
  MENTOR_ASSIGN_OR_RETURN(state.folder, FindRun(state.run));
  OfferRunBundles(state.folder.state);
  if (exists) return state;
  const std::filesystem::path checkpoints = state.folder.experiment / "checkpoints";
  state.checkpoint = checkpoints / meta_learner::CheckpointFileName(step);
  if (std::filesystem::exists(state.checkpoint, error)) return state;
  MENTOR_ASSIGN_OR_RETURN(const std::vector<uint32_t> steps,
                          meta_learner::ListCheckpoints(checkpoints));
  return absl::NotFoundError(
      absl::StrCat(state.run.string(), " has no checkpoint after outer update ", step,
                   "; there are: ", steps.empty() ? "none" : absl::StrJoin(steps, ", "),
                   " (checkpoint.keep_last and checkpoint.every of a spec say which are kept)"));
}

}  // namespace mentor
