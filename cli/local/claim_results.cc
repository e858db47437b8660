#include "cli/local/claim_results.h"

#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "cli/local/processor.h"
#include "cli/local/run_hash.h"
#include "cli/local/run_report.h"
#include "cli/report/records.h"
#include "cli/report/success_rates.h"
#include "common/check.h"
#include "common/evaluation_method.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/printable.h"
#include "common/protocol.h"
#include "common/sealed.h"
#include "common/spec/spec.h"
#include "envs/benchmark.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "meta_learner/curricula/curriculum.h"
#include "meta_learner/experiment/arithmetic.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/experiment/experiment_state.h"
#include "meta_learner/experiment/task_sampler.h"
#include "meta_learner/store/checkpoint.h"
#include "shards/learner_fingerprint.h"

namespace mentor {
namespace {

using report::kNone;

constexpr char kAgentsReturn[] = "meta_return", kOtherProcessor[] = "another";
constexpr uint64_t kFingerprintBytesMax = 4096;

// Names are "seg2" for success rates, and "seg2_return" for environments without success. Where
// agents could succeed and none did, success is 0.
absl::StatusOr<ClaimNumbers> EvaluationNumbers(const std::vector<report::EvaluationRow>& rows,
                                               int iterations, bool has_success) {
  std::optional<report::Quantity> quantity;
  if (has_success) quantity = report::Quantity::kSuccess;
  MENTOR_ASSIGN_OR_RETURN(const std::vector<report::MethodResult> results,
                          report::SummariseEvaluation(rows, iterations, quantity));
  ClaimNumbers numbers;
  for (const report::MethodResult& result : results) {
    const std::string prefix = absl::StrCat(result.split, ".", TagOf(result.method), ".");
    const std::string suffix =
        absl::StrCat(result.quantity == report::Quantity::kReturn ? "_return" : "",
                     result.environment.empty() ? "" : "/" + result.environment);
    for (size_t i = 0; i < result.segments.size(); ++i)
      numbers[absl::StrCat(prefix, "seg", i, suffix)] = result.segments[i];
    numbers[prefix + "last" + suffix] = result.last;
    if (result.det) numbers[prefix + "det" + suffix] = *result.det;
    if (result.last_return && result.environment.empty())
      numbers[prefix + "shaped_return"] = *result.last_return;
  }
  return numbers;
}

// Returns a hash over the evaluation: teacher, task and seed of each lifetime, and its episodes.
std::string EvaluationHash(const std::vector<report::EvaluationRow>& rows) {
  if (rows.empty()) return "";
  Sha256 hash;
  for (const report::EvaluationRow& row : rows) {
    std::string text =
        absl::StrFormat("%s %s %s %d %d %d %d", NameOf(row.method), row.split, row.environment,
                        row.lifetime, row.goal, row.seed, row.lifetime_episodes);
    for (const auto* values : {&row.episode_success, &row.episode_return})
      for (const double value : *values) absl::StrAppendFormat(&text, " %a", value);
    hash.Update(text + "\n");
  }
  return ToHex(hash.Finish());
}

// The metrics that measures take: METRIC@...
std::set<std::string> MetricsOf(const std::string& measures) {
  std::set<std::string> metrics;
  for (const absl::string_view measure : absl::StrSplit(measures, ' ', absl::SkipWhitespace()))
    metrics.insert(std::string(measure.substr(0, measure.find('@'))));
  return metrics;
}

// Returns a hash over the metrics of `measures`, and over the return of the agents, in each outer
// update. The return shows the agents' bits where the teacher does not.
std::string MetricsHash(const std::string& measures,
                        const std::vector<report::TrainingPoint>& training) {
  if (training.empty()) return "";
  std::set<std::string> metrics = MetricsOf(measures);
  metrics.insert(kAgentsReturn);
  Sha256 hash;
  for (const report::TrainingPoint& point : training) {
    std::string text = absl::StrCat(point.outer_update);
    for (const std::string& metric : metrics) {
      const auto found = point.metrics.find(metric);
      if (found != point.metrics.end())
        absl::StrAppendFormat(&text, " %s=%a", metric, found->second);
    }
    hash.Update(text + "\n");
  }
  return ToHex(hash.Finish());
}

// A run may come from another version or machine. Then its row has the version of its last
// checkpoint and the arithmetic that its folder names. It has no processor, since the folder names
// none.
absl::Status StampOrigin(const std::filesystem::path& run, ClaimRow* made) {
  MENTOR_ASSIGN_OR_RETURN(const RunFolder folder, FindRun(run));
  if (const auto hash = HashRun(run); hash.ok() && !hash->build.empty())
    made->version = hash->build;
  const std::filesystem::path file = folder.experiment / "fingerprint";
  const auto bytes = ReadFile(file, kFingerprintBytesMax);
  if (absl::IsNotFound(bytes.status())) return absl::OkStatus();
  if (!bytes.ok()) return bytes.status();
  const auto text = Unsealed(*bytes, file);
  if (!text.ok()) return text.status();
  const size_t half = envs::NumericFingerprint().size();
  if (*text == meta_learner::ExperimentFingerprint() || text->size() < half) {
    return absl::OkStatus();
  }
  made->processor = kOtherProcessor;
  made->fingerprint = absl::StrJoin(
      {envs::CatalogueHash().substr(0, kClaimFingerprintDigits),
       text->substr(0, kClaimFingerprintDigits), text->substr(half, kClaimFingerprintDigits)},
      "/");
  return absl::OkStatus();
}

// The lifetimes that a run evaluates at its end: the task of each, by method and split.
using Expected =
    std::map<std::pair<v1::EvaluationMethod, std::string>, std::vector<meta_learner::SampledTask>>;
Expected ExpectedLifetimes(const v1::ExperimentSpec& spec, const envs::Benchmark& benchmark) {
  Expected expected;
  if (spec.evaluation().lifetimes_per_goal() == 0) return expected;
  for (const auto& [split, teacher] : meta_learner::EvaluatedTeachers(benchmark, spec, {})) {
    expected[{teacher.method, meta_learner::SplitName(split)}] =
        meta_learner::EvaluationTasks(benchmark, spec, split);
  }
  return expected;
}

// Returns the evaluated lifetimes if they are complete. Each lifetime of the spec must occur once,
// on its task, with agents of its seed and the weights of the last update.
absl::StatusOr<std::vector<report::EvaluationRow>> WholeEvaluation(
    const std::filesystem::path& experiment, const v1::ExperimentSpec& spec,
    const envs::Benchmark& benchmark, uint32_t last_update) {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<v1::EvaluationShard> shards,
                          meta_learner::ReadEvaluation(experiment));
  const Expected expected = ExpectedLifetimes(spec, benchmark);
  std::vector<report::EvaluationRow> rows;
  std::set<std::tuple<v1::EvaluationMethod, std::string, uint32_t>> known;
  for (const v1::EvaluationShard& shard : shards) {
    const auto tasks = expected.find({shard.taught_by(), shard.split()});
    for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes()) {
      const bool fits =
          tasks != expected.end() && shard.seed() == spec.seed() &&
          shard.outer_step() == last_update && lifetime.number() < tasks->second.size() &&
          tasks->second[lifetime.number()].environment == lifetime.environment() &&
          static_cast<uint32_t>(tasks->second[lifetime.number()].goal) == lifetime.goal() &&
          known.insert({shard.taught_by(), shard.split(), lifetime.number()}).second;
      if (!fits) {
        return absl::FailedPreconditionError(absl::StrCat(
            "its evaluation has a lifetime of another run (", NameOf(shard.taught_by()), ", ",
            shard.split(), ", number ", lifetime.number(), ")"));
      }
      rows.push_back(RowOf(shard, lifetime, &benchmark, spec.benchmark().goal_seed()));
    }
  }
  size_t wanted = 0;
  for (const auto& [method, tasks] : expected) wanted += tasks.size();
  if (rows.size() == wanted) return rows;
  return absl::FailedPreconditionError(
      absl::StrCat("has ", rows.size(), " evaluated lifetimes of ", wanted));
}

// Checks the last checkpoint of a run that learns, and returns its outer update. Other runs have no
// checkpoint.
absl::StatusOr<uint32_t> LastUpdate(const RunFolder& folder, const v1::ExperimentSpec& spec) {
  if (spec.rule().outer_updates() == 0) return 0;
  MENTOR_ASSIGN_OR_RETURN(const RunHash hash, HashRun(folder.experiment));
  if (hash.damaged.empty() && !hash.checkpoint.empty()) {
    MENTOR_ASSIGN_OR_RETURN(
        const meta_learner::Checkpoint checkpoint,
        meta_learner::ReadCheckpointOf(hash.checkpoint, {.spec_hash = SpecHash(spec)}));
    MENTOR_ASSIGN_OR_RETURN(const meta_learner::ExperimentState state,
                            meta_learner::ReadState(checkpoint));
    if (meta_learner::IsTrained(state, spec.rule())) return checkpoint.outer_step;
  }
  return absl::DataLossError(absl::StrCat(
      spec.rule().patience() > 0
          ? "its last checkpoint"
          : absl::StrCat("its checkpoint after outer update ", spec.rule().outer_updates()),
      " is missing or damaged", hash.damaged));
}

// The data of a finished run with all checkpoints and evaluated lifetimes. Includes only the
// evaluation at the end of the run.
struct WholeRun {
  report::ReportData data;
  bool has_success = false;  // Its agents may succeed.
};

absl::StatusOr<WholeRun> ReadWholeRun(const ClaimRow& row, const std::filesystem::path& run) {
  MENTOR_ASSIGN_OR_RETURN(v1::ExperimentSpec spec, SpecOfCommand(row.command));
  spec = WithDefaults(spec);
  Violations violations;
  const auto benchmark = envs::MakeBenchmark(spec.benchmark(), &violations);
  if (benchmark == nullptr) return violations.ToStatus();
  MENTOR_ASSIGN_OR_RETURN(report::ReportData data, ReportOf(run));
  const auto refuse = [&](const std::string& what) {
    return absl::FailedPreconditionError(absl::StrCat(run.string(), ": ", what));
  };
  const char* remedy = "; continue the run, fetch it again, or remove the folder and run again";
  if (data.spec_hash != SpecHash(spec)) {
    return refuse(absl::StrCat("is a run of another spec than that of ", row.name(), " (",
                               row.command, "); name its folder"));
  }
  if (!data.succeeded) {
    return refuse(
        absl::StrCat(data.failure.empty() ? "has not ended" : "failed: " + data.failure, remedy));
  }
  MENTOR_ASSIGN_OR_RETURN(const RunFolder folder, FindRun(run));
  const auto last = LastUpdate(folder, spec);
  if (!last.ok()) return refuse(absl::StrCat(std::string(last.status().message()), remedy));
  auto rows = WholeEvaluation(folder.experiment, spec, *benchmark, *last);
  if (!rows.ok()) return refuse(absl::StrCat(std::string(rows.status().message()), remedy));
  data.evaluation = *std::move(rows);
  if (data.training.size() != *last) {
    return refuse(
        absl::StrCat("has metrics of ", data.training.size(), " outer updates of ", *last, remedy));
  }
  return WholeRun{std::move(data), meta_learner::HasSuccess(*benchmark)};
}

}  // namespace

double CpuSeconds(const std::vector<report::TrainingPoint>& training) {
  double sum = 0;
  bool known = false;
  for (const report::TrainingPoint& point : training) {
    for (const char* phase :
         {"rollout_seconds", "signal_seconds", "update_seconds", "outer_seconds"}) {
      const auto found = point.metrics.find(phase);
      if (found == point.metrics.end() || !std::isfinite(found->second)) continue;
      sum += found->second;
      known = true;
    }
  }
  return known ? sum : kNone;
}

Correlation Correlate(const std::vector<report::SignalSample>& samples) {
  std::vector<double> signal, shaped, signal_of_change, change;
  for (const report::SignalSample& sample : samples) {
    signal.insert(signal.end(), sample.signal.begin(), sample.signal.end());
    shaped.insert(shaped.end(), sample.shaped.begin(), sample.shaped.end());
    // The first step of an episode has no change.
    for (size_t t = 1; sample.episode_steps > 0 && t < sample.signal.size(); ++t) {
      if (t % static_cast<size_t>(sample.episode_steps) == 0) continue;
      signal_of_change.push_back(sample.signal[t]);
      change.push_back(sample.shaped[t] - sample.shaped[t - 1]);
    }
  }
  return {report::Pearson(signal, shaped), report::Spearman(signal, shaped),
          report::Pearson(signal_of_change, change), report::Spearman(signal_of_change, change)};
}

ClaimRow MadeHere(const ClaimRow& row) {
  ClaimRow made = row;
  made.version = kBuildVersion;
  made.processor = ProcessorName();
  made.fingerprint = ClaimFingerprint();
  made.numbers.clear();
  return made;
}

absl::StatusOr<ClaimNumbers> MeasureTraining(const std::string& measures,
                                             const std::vector<report::TrainingPoint>& training) {
  ClaimNumbers numbers;
  for (const std::string& word : MeasuresOf(measures)) {
    MENTOR_ASSIGN_OR_RETURN(const Measure measure, ParseMeasure(word));
    std::vector<double> values;
    for (const report::TrainingPoint& point : training) {
      const auto found = point.metrics.find(measure.metric);
      values.push_back(found == point.metrics.end() ? kNone : found->second);
    }
    if (std::all_of(values.begin(), values.end(), [](double v) { return std::isnan(v); })) {
      return WrongMeasure(word, absl::StrCat("the run has no metric '", Printable(measure.metric),
                                             "'; metrics.csv in its folder names them"));
    }
    const std::vector<double> means = report::RunningMean(values, static_cast<int>(measure.window));
    double value = means.back();
    if (measure.bound) {
      value = 0;
      for (size_t i = measure.window - 1; i < means.size() && value == 0; ++i)
        if (means[i] >= *measure.bound) value = training[i].outer_update;
    }
    if (!std::isfinite(value)) {
      return WrongMeasure(
          word, absl::StrCat("the last ", measure.window, " outer updates have ",
                             std::isnan(value) ? "no such number; take the mean of more"
                                               : "one that is not finite; change the command"));
    }
    numbers[word] = {value, kNone, kNone};
  }
  return numbers;
}

absl::StatusOr<ClaimRow> MeasureRun(const ClaimRow& row, const std::filesystem::path& run) {
  MENTOR_ASSIGN_OR_RETURN(const WholeRun whole, ReadWholeRun(row, run));
  const report::ReportData& data = whole.data;
  const std::filesystem::path records = run / report::kRecordsFolder;
  std::error_code error;
  if (!std::filesystem::exists(records / "run.json", error))
    MENTOR_RETURN_IF_ERROR(report::WriteRecords(data, records));
  ClaimRow made = MadeHere(row);
  MENTOR_RETURN_IF_ERROR(StampOrigin(run, &made));
  made.hash = data.identity.state_hash;
  made.evaluation = EvaluationHash(data.evaluation);
  made.metrics = MetricsHash(row.measures, data.training);
  MENTOR_ASSIGN_OR_RETURN(made.numbers,
                          EvaluationNumbers(data.evaluation, data.iterations, whole.has_success));
  MENTOR_ASSIGN_OR_RETURN(const ClaimNumbers measured,
                          MeasureTraining(row.measures, data.training));
  made.numbers.insert(measured.begin(), measured.end());
  if (!data.signals.empty()) {
    const Correlation pooled = Correlate(data.signals);
    const std::pair<const char*, double> correlations[] = {
        {"signal.shaped_pearson", pooled.pearson},
        {"signal.shaped_spearman", pooled.spearman},
        {"signal.progress_pearson", pooled.change_pearson},
        {"signal.progress_spearman", pooled.change_spearman}};
    for (const auto& [name, value] : correlations)
      if (std::isfinite(value)) made.numbers[name] = {value, kNone, kNone};
  }
  const double cpu = data.training.empty() ? 0 : CpuSeconds(data.training);
  made.cpu_seconds = std::isfinite(cpu) ? absl::StrFormat("%.0f", cpu) : "";
  made.env_steps =
      absl::StrCat(data.training.empty() ? uint64_t{0} : data.training.back().env_steps);
  return made;
}

absl::StatusOr<ClaimRow> MeasureAll(const ClaimRow& row, const std::vector<ClaimRow>& runs,
                                    const std::vector<std::filesystem::path>& folders) {
  MENTOR_CHECK(runs.size() == folders.size());
  if (runs.empty()) {
    return absl::NotFoundError(absl::StrCat(
        row.claim, " has no runs to combine; add rows of its runs 1, 2, ... to the file"));
  }
  ClaimRow made = MadeHere(row);
  Sha256 state, evaluation;
  std::vector<report::EvaluationRow> rows;
  int iterations = 0;
  bool any_state = false, has_success = false;
  for (size_t i = 0; i < runs.size(); ++i) {
    std::error_code error;
    if (!std::filesystem::exists(folders[i], error)) {
      return absl::NotFoundError(absl::StrCat(folders[i].string(), ": does not exist; run 'mentor ",
                                              "reproduce ", runs[i].claim, "'"));
    }
    MENTOR_ASSIGN_OR_RETURN(const WholeRun whole, ReadWholeRun(runs[i], folders[i]));
    const report::ReportData& data = whole.data;
    if (i == 0) has_success = whole.has_success;
    any_state = any_state || !data.identity.state_hash.empty();
    state.Update(data.identity.state_hash + "\n");
    evaluation.Update(EvaluationHash(data.evaluation) + "\n");
    iterations = data.iterations;
    for (report::EvaluationRow one : data.evaluation) {
      one.meta_seed = i;
      rows.push_back(std::move(one));
    }
  }
  if (any_state) made.hash = ToHex(state.Finish());
  if (rows.empty()) return made;
  made.evaluation = ToHex(evaluation.Finish());
  MENTOR_ASSIGN_OR_RETURN(made.numbers, EvaluationNumbers(rows, iterations, has_success));
  return made;
}

std::string ClaimFingerprint() {
  return absl::StrJoin({envs::CatalogueHash().substr(0, kClaimFingerprintDigits),
                        envs::NumericFingerprint().substr(0, kClaimFingerprintDigits),
                        shards::LearnerFingerprint().substr(0, kClaimFingerprintDigits)},
                       "/");
}

}  // namespace mentor
