#include "mentor/local/claims.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/check.h"
#include "common/edit_distance.h"
#include "common/evaluation_method.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/installed.h"
#include "common/printable.h"
#include "common/protocol.h"
#include "common/resources/names.h"
#include "common/sealed.h"
#include "common/spec/ready_specs.h"
#include "common/spec/spec.h"
#include "envs/benchmark.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "mentor/local/kept_lifetimes.h"
#include "mentor/local/processor.h"
#include "mentor/local/run_bundles.h"
#include "mentor/local/run_report.h"
#include "mentor/report/csv_reader.h"
#include "mentor/report/csv_table.h"
#include "mentor/report/evaluation.h"
#include "mentor/report/measures.h"
#include "meta_learner/curricula/curriculum.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/experiment/experiment_state.h"
#include "meta_learner/experiment/fingerprint.h"
#include "meta_learner/experiment/parts.h"
#include "meta_learner/experiment/task_sampler.h"
#include "meta_learner/store/checkpoint.h"
#include "shards/learner_fingerprint.h"

namespace mentor {
namespace {

using report::Interval;
using report::kNone;

// Text columns in the order of the file; the column `numbers` follows them.
struct Column {
  const char* name;
  std::string ClaimRow::*member;
};
constexpr std::array<Column, 13> kColumns = {{{"claim", &ClaimRow::claim},
                                              {"run", &ClaimRow::run},
                                              {"row", &ClaimRow::row},
                                              {"command", &ClaimRow::command},
                                              {"measures", &ClaimRow::measures},
                                              {"version", &ClaimRow::version},
                                              {"processor", &ClaimRow::processor},
                                              {"fingerprint", &ClaimRow::fingerprint},
                                              {"cpu_seconds", &ClaimRow::cpu_seconds},
                                              {"env_steps", &ClaimRow::env_steps},
                                              {"hash", &ClaimRow::hash},
                                              {"evaluation", &ClaimRow::evaluation},
                                              {"metrics", &ClaimRow::metrics}}};
constexpr char kNumbers[] = "numbers", kAgentsReturn[] = "meta_return";
constexpr char kCurvesFolder[] = "curves", kLifetimesFolder[] = "lifetimes",
               kLifetimesEnd[] = ".csv.gz";
constexpr uint64_t kLifetimesBytesMax = uint64_t{64} << 20;
constexpr int kReadable = 0644;
constexpr size_t kFingerprintDigits = 12;
constexpr uint64_t kFingerprintBytesMax = 4096;
constexpr char kOtherProcessor[] = "another";
constexpr size_t kCurvePointsMax = 200;
constexpr uint32_t kMeasuredMax = 1'000'000;  // Outer updates of a measure.
constexpr size_t kStateHashDigits = 64;
constexpr std::array kArithmetic = {"environments", "simulator (libm, MuJoCo)",
                                    "learner (LibTorch, kernels)"};

std::vector<std::string> Words(std::string_view text) {
  return absl::StrSplit(absl::string_view(text.data(), text.size()), ' ', absl::SkipWhitespace());
}

bool ToNumber(const std::string& text, double* value) {
  return absl::SimpleAtod(text, value) && std::isfinite(*value);
}

// Five digits suffice for a table and hide the last bits of a mean.
std::string ShortNumber(double value) {
  return absl::StrFormat("%.5g", value);
}

std::string ShortNumbers(const ClaimNumbers& numbers) {
  std::vector<std::string> parts;
  for (const auto& [name, number] : numbers) {
    std::string text = name + "=" + ShortNumber(number.mean);
    if (std::isfinite(number.low))
      absl::StrAppend(&text, "[", ShortNumber(number.low), ",", ShortNumber(number.high), "]");
    parts.push_back(std::move(text));
  }
  return absl::StrJoin(parts, " ");
}

// Parses "NAME=MEAN[LOW,HIGH]".
bool ParseNumber(const std::string& text, ClaimNumbers* numbers) {
  const size_t equals = text.rfind('=');
  if (equals == text.npos || equals == 0) return false;
  std::string mean = text.substr(equals + 1);
  Interval number{0, kNone, kNone};
  if (const size_t bracket = mean.find('['); bracket != mean.npos) {
    if (!mean.ends_with(']')) return false;
    const std::vector<std::string> ends =
        absl::StrSplit(mean.substr(bracket + 1, mean.size() - bracket - 2), ',');
    if (ends.size() != 2 || !ToNumber(ends[0], &number.low) || !ToNumber(ends[1], &number.high) ||
        number.low > number.high)
      return false;
    mean.resize(bracket);
  }
  return ToNumber(mean, &number.mean) && numbers->emplace(text.substr(0, equals), number).second;
}

struct Measure {
  std::string metric;
  uint32_t window = 0;
  std::optional<double> bound;  // METRIC@first
};

absl::Status WrongMeasure(const std::string& word, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("measure '", Printable(word), "': ", what));
}

absl::StatusOr<Measure> ParseMeasure(const std::string& word) {
  Measure measure;
  const std::vector<std::string> parts = absl::StrSplit(word, absl::MaxSplits('@', 1));
  const std::vector<std::string> how =
      parts.size() == 2 ? absl::StrSplit(parts[1], ':') : std::vector<std::string>();
  measure.metric = parts[0];
  double bound = 0;
  const bool last = how.size() == 2 && how[0] == "last",
             first = how.size() == 3 && how[0] == "first" && ToNumber(how[2], &bound);
  if (first) measure.bound = bound;
  if ((last || first) && absl::SimpleAtoi(how[1], &measure.window) && measure.window > 0 &&
      measure.window <= kMeasuredMax)
    return measure;
  return WrongMeasure(word, absl::StrCat("expected METRIC@last:N or METRIC@first:N:BOUND, N from 1 "
                                         "to ",
                                         kMeasuredMax));
}

// Names are "seg2" for success rates, and "seg2_return" for environments without success. Where
// agents could succeed and none did, success is 0.
absl::StatusOr<ClaimNumbers> EvaluationNumbers(const ClaimRow& run,
                                               const std::vector<report::EvaluationRow>& rows,
                                               int iterations) {
  MENTOR_ASSIGN_OR_RETURN(const v1::ExperimentSpec spec, SpecOfRun(run));
  std::optional<report::Quantity> quantity;
  if (meta_learner::HasSuccess(spec)) quantity = report::Quantity::kSuccess;
  MENTOR_ASSIGN_OR_RETURN(const std::vector<report::MethodResult> results,
                          report::SummariseEvaluation(rows, iterations, quantity));
  ClaimNumbers numbers;
  for (const report::MethodResult& result : results) {
    const std::string prefix =
        absl::StrCat(result.split, ".",
                     absl::StrReplaceAll(NameOf(result.method),
                                         {{" ", "_"}, {"(", ""}, {")", ""}, {"PPO", "ppo"}}),
                     ".");
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
  for (const std::string& measure : Words(measures))
    metrics.insert(measure.substr(0, measure.find('@')));
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

ClaimRow MadeHere(const ClaimRow& row) {
  ClaimRow made = row;
  made.version = kBuildVersion;
  made.processor = ProcessorName();
  made.fingerprint = ClaimFingerprint();
  made.numbers.clear();
  return made;
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
  made->fingerprint =
      absl::StrJoin({envs::CatalogueHash().substr(0, kFingerprintDigits),
                     text->substr(0, kFingerprintDigits), text->substr(half, kFingerprintDigits)},
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
    const std::filesystem::path& experiment, const v1::ExperimentSpec& spec, uint32_t last_update) {
  Violations violations;
  const auto benchmark = envs::MakeBenchmark(spec.benchmark(), &violations);
  if (benchmark == nullptr) return violations.ToStatus();
  MENTOR_ASSIGN_OR_RETURN(const std::vector<v1::EvaluationShard> shards,
                          meta_learner::ReadEvaluation(experiment));
  const Expected expected = ExpectedLifetimes(spec, *benchmark);
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
      rows.push_back(RowOf(shard, lifetime, benchmark.get(), spec.benchmark().goal_seed()));
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
    MENTOR_ASSIGN_OR_RETURN(const meta_learner::Checkpoint checkpoint,
                            meta_learner::ReadCheckpoint(hash.checkpoint));
    if (checkpoint.spec_hash != SpecHash(spec))
      return absl::DataLossError("its newest checkpoint is of another spec");
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

// Returns the data of a finished run with all checkpoints and evaluated lifetimes. Includes only
// the evaluation at the end of the run.
absl::StatusOr<report::ReportData> ReadWholeRun(const ClaimRow& row,
                                                const std::filesystem::path& run) {
  MENTOR_ASSIGN_OR_RETURN(v1::ExperimentSpec spec, SpecOfRun(row));
  spec = WithDefaults(spec);
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
  auto rows = WholeEvaluation(folder.experiment, spec, *last);
  if (!rows.ok()) return refuse(absl::StrCat(std::string(rows.status().message()), remedy));
  data.evaluation = *std::move(rows);
  if (data.training.size() != *last) {
    return refuse(
        absl::StrCat("has metrics of ", data.training.size(), " outer updates of ", *last, remedy));
  }
  return data;
}

}  // namespace

std::filesystem::path ClaimsFile() {
  std::error_code error;
  const std::filesystem::path folder = InstalledFolder("MENTOR_CLAIMS", "results");
  return std::filesystem::is_regular_file(folder, error) ? folder : folder / "claims.csv";
}

absl::StatusOr<std::vector<ClaimRow>> ReadClaims(const std::filesystem::path& file) {
  auto text = ReadFile(file, report::kCsvBytesMax);
  if (!text.ok()) {
    return absl::Status(text.status().code(),
                        absl::StrCat(std::string(text.status().message()),
                                     "; name the file of claims with --claims"));
  }
  return ParseClaims(*text, file.string());
}

namespace {

// Checks the cells of a row but its numbers. The message names the column and the remedy.
absl::Status CheckCells(const ClaimRow& row) {
  const auto refuse = [](const char* column, const std::string& text, const auto&... expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("column ", column, " is '", Printable(text), "', expected ", expected...));
  };
  uint32_t run = 0;
  if (!row.is_pooled() &&
      (!absl::SimpleAtoi(row.run, &run) || run == 0 || row.run != absl::StrCat(run)))
    return refuse("run", row.run, "a number from 1 on, or 'all'");
  // Folders and experiments of services use these names.
  if (!IsExperimentId(row.name())) {
    return refuse("claim", row.claim,
                  "small letters, digits and '-', a letter first, 61 at most; rename the claim");
  }
  for (const std::string& word : Words(row.measures)) {
    // A run of days comes before what it measures.
    MENTOR_RETURN_IF_ERROR(ParseMeasure(word).status());
  }
  for (const auto& [column, number] :
       {std::pair("cpu_seconds", &row.cpu_seconds), std::pair("env_steps", &row.env_steps)}) {
    double value = 0;
    if (!number->empty() && (!ToNumber(*number, &value) || value < 0))
      return refuse(column, *number, "a number from 0 on, or nothing");
  }
  for (const auto& [column, hash] :
       {std::pair("hash", &row.hash), std::pair("evaluation", &row.evaluation),
        std::pair("metrics", &row.metrics)}) {
    if (hash->empty() || (hash->size() == kStateHashDigits && IsHex(*hash))) continue;
    return refuse(column, *hash, "all ", kStateHashDigits,
                  " hexadecimal digits of a hash in small letters, or nothing; empty it and record "
                  "the run again, or copy it whole");
  }
  // Without these any other hash would have an excuse.
  const std::vector<std::string> parts = absl::StrSplit(row.fingerprint, '/');
  if (row.recorded() && row.version.empty())
    return refuse("version", "", "that of Mentor which made the record");
  if (row.recorded() && (parts.size() != kArithmetic.size() ||
                         !std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
                           return part.size() == kFingerprintDigits && IsHex(part);
                         }))) {
    return refuse("fingerprint", row.fingerprint, "three times ", kFingerprintDigits,
                  " hexadecimal digits, parted by '/'; copy it whole, or record the run again");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<ClaimRow>> ParseClaims(std::string_view text, const std::string& file) {
  MENTOR_ASSIGN_OR_RETURN(const report::CsvContent csv, report::ParseCsv(text, file));
  std::vector<size_t> places;
  for (size_t i = 0; i <= kColumns.size(); ++i) {
    const char* name = i < kColumns.size() ? kColumns[i].name : kNumbers;
    const std::optional<size_t> place = csv.Find(name);
    if (!place) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": has no column '", name,
                       "': is it a file of claims? If it is, add the column, empty"));
    }
    places.push_back(*place);
  }
  std::vector<ClaimRow> rows;
  std::map<std::string, int> counts;  // Runs by claim.
  std::set<std::string> names, runs;
  for (const report::CsvRow& cells : csv.rows) {
    const auto refuse = [&](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat(file, ":", cells.line, ": ", what));
    };
    ClaimRow row;
    for (size_t i = 0; i < kColumns.size(); ++i) row.*kColumns[i].member = cells.cells[places[i]];
    if (const absl::Status right = CheckCells(row); !right.ok()) return refuse(right.message());
    if (!names.insert(row.name()).second)
      return refuse(absl::StrCat("there are two rows of ", row.name(), "; remove one"));
    if (!row.is_pooled()) runs.insert(row.name());
    // All runs together mean runs 1 to N, in this order.
    if (!row.is_pooled() && row.run != absl::StrCat(++counts[row.claim])) {
      return refuse(absl::StrCat("column run is '", row.run, "', expected '", counts[row.claim],
                                 "', the next run of ", row.claim,
                                 "; add the row that is missing"));
    }
    for (const std::string& word : Words(cells.cells[places.back()])) {
      if (!ParseNumber(word, &row.numbers)) {
        return refuse(absl::StrCat("column numbers has '", Printable(word),
                                   "', expected NAME=MEAN or NAME=MEAN[LOW,HIGH]"));
      }
    }
    rows.push_back(std::move(row));
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!runs.contains(rows[i].claim)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(file, ":", csv.rows[i].line, ": the claim ", rows[i].claim,
                     " has the name of another claim's run; rename one of the two"));
  }
  return rows;
}

namespace {

// A claims file to write: the target of a link, locked against other writers.
struct ClaimsToWrite {
  std::filesystem::path target;
  std::shared_ptr<void> unlock;
  std::vector<ClaimRow> rows;
};
absl::StatusOr<ClaimsToWrite> OpenToWrite(const std::filesystem::path& file) {
  std::error_code error;
  // Write to the target, so that a link stays a link and the file keeps its readers.
  const std::filesystem::path target = std::filesystem::canonical(file, error);
  if (error) return FileError("cannot find", file, error.value());
  // Lock the folder, because each writer replaces the file.
  const int folder = open(target.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return FileError("cannot open", target.parent_path(), errno);
  ClaimsToWrite claims = {
      .target = target, .unlock = {nullptr, [folder](void*) { close(folder); }}, .rows = {}};
  if (flock(folder, LOCK_EX) != 0) return FileError("cannot lock", target.parent_path(), errno);
  if (access(target.parent_path().c_str(), W_OK) != 0)
    return FileError("cannot write into", target.parent_path(), errno);
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(target, report::kCsvBytesMax));
  MENTOR_ASSIGN_OR_RETURN(claims.rows, ParseClaims(text, file.string()));
  const std::string printed = PrintClaims(claims.rows);
  if (printed == text) return claims;
  const auto other = std::mismatch(text.begin(), text.end(), printed.begin(), printed.end()).first;
  return absl::FailedPreconditionError(
      absl::StrCat(file.string(), ":", 1 + std::count(text.begin(), other, '\n'),
                   ": comments, columns of one's own, other line ends or quotes would be lost "
                   "when it is written; its form is that of results/claims.csv"));
}

}  // namespace

absl::Status CheckWritable(const std::filesystem::path& file) {
  return OpenToWrite(file).status();
}

bool IsOtherCurve(const std::filesystem::path& file, const ClaimRow& made) {
  std::error_code error;
  const std::filesystem::path kept = std::filesystem::weakly_canonical(file, error).parent_path() /
                                     kCurvesFolder / (made.name() + ".csv");
  if (made.curve.empty() || !std::filesystem::exists(kept, error)) return false;
  const auto text = ReadFile(kept, report::kCsvBytesMax);
  return !text.ok() || *text != made.curve;
}

namespace {

absl::Status WriteBeside(const std::filesystem::path& claims, const char* folder,
                         const std::string& name, const std::string& contents) {
  const std::filesystem::path path = claims.parent_path() / folder;
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return FileError("cannot make", path, error.value());
  return WriteFileAtomically(path / name, contents, kReadable);
}

// Equal texts: the same is measured, and the same came out.
std::string ResultText(const ClaimRow& row) {
  return absl::StrJoin({row.measures, row.version, row.fingerprint, row.hash, row.evaluation,
                        row.metrics, ShortNumbers(row.numbers)},
                       "\n");
}

}  // namespace

absl::Status WriteClaim(const std::filesystem::path& file, const ClaimRow& known, ClaimRow made) {
  MENTOR_ASSIGN_OR_RETURN(ClaimsToWrite claims, OpenToWrite(file));
  const auto row = std::find_if(claims.rows.begin(), claims.rows.end(), [&](const ClaimRow& row) {
    return row.name() == made.name() && row.command == made.command;
  });
  if (row == claims.rows.end()) {
    return absl::FailedPreconditionError(absl::StrCat(file.string(), ": has no row of ",
                                                      made.name(),
                                                      " with its command any more; run it again"));
  }
  if (ResultText(*row) != ResultText(known) && ResultText(*row) != ResultText(made)) {
    return absl::FailedPreconditionError(
        absl::StrCat(file.string(), ": the row of ", made.name(),
                     " was changed since it was read; run the same command again"));
  }
  made.row = row->row;
  *row = made;
  if (!made.curve.empty())
    MENTOR_RETURN_IF_ERROR(
        WriteBeside(claims.target, kCurvesFolder, made.name() + ".csv", made.curve));
  if (!made.lifetimes.empty()) {
    MENTOR_RETURN_IF_ERROR(
        WriteBeside(claims.target, kLifetimesFolder, made.name() + kLifetimesEnd, made.lifetimes));
  }
  std::error_code error;
  const std::filesystem::perms readers =
      std::filesystem::status(claims.target, error).permissions();
  MENTOR_RETURN_IF_ERROR(WriteFileAtomically(claims.target, PrintClaims(claims.rows)));
  std::filesystem::permissions(claims.target, readers, error);
  return error ? FileError("cannot open to its readers", claims.target, error.value())
               : absl::OkStatus();
}

std::string PrintClaims(const std::vector<ClaimRow>& rows) {
  std::string text;
  for (const Column& column : kColumns) absl::StrAppend(&text, column.name, ",");
  absl::StrAppend(&text, kNumbers, "\n");
  for (const ClaimRow& row : rows) {
    for (const Column& column : kColumns)
      absl::StrAppend(&text, report::CsvField(row.*column.member), ",");
    absl::StrAppend(&text, report::CsvField(ShortNumbers(row.numbers)), "\n");
  }
  return text;
}

absl::StatusOr<std::vector<size_t>> FindClaim(const std::vector<ClaimRow>& rows,
                                              const std::string& name) {
  std::vector<size_t> found;
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows[i].claim == name || rows[i].claim + "-" + rows[i].run == name) found.push_back(i);
  if (!found.empty()) return found;
  std::set<std::string> names;
  for (const ClaimRow& row : rows) names.insert({row.claim, row.name()});
  // The search is slow for many names.
  constexpr size_t kSearched = 5000;
  const std::vector<std::string> near = names.size() > kSearched
                                            ? std::vector<std::string>()
                                            : NearestNames(name, {names.begin(), names.end()});
  return absl::NotFoundError(
      absl::StrCat("there is no claim '", Printable(name), "'; ",
                   near.empty() ? "" : absl::StrCat("nearest: ", absl::StrJoin(near, ", "), "; "),
                   "mentor reproduce --list shows all"));
}

absl::StatusOr<v1::ExperimentSpec> SpecOfCommand(const std::string& command) {
  const std::vector<std::string> words = Words(command);
  const auto refuse = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("command '", Printable(command), "': ", what));
  };
  if (words.size() < 3 || words[0] != "mentor" || words[1] != "run" || words[2].starts_with("-"))
    return refuse("expected 'mentor run SPEC' and then --set NAME=VALUE");
  std::vector<std::string> overrides;
  for (size_t i = 3; i < words.size(); i += 2) {
    if (words[i] != "--set" || i + 1 == words.size())
      return refuse(absl::StrCat("expected --set NAME=VALUE where '", words[i], "' stands"));
    overrides.push_back(words[i + 1]);
  }
  MENTOR_ASSIGN_OR_RETURN(const std::filesystem::path file, FindSpec(words[2]));
  // Folders in the place of bundles come first, because the parts' requirements depend on them.
  MENTOR_ASSIGN_OR_RETURN(v1::ExperimentSpec spec, LoadSpecFile(file, overrides, nullptr));
  MENTOR_ASSIGN_OR_RETURN(const bool named, NameBundles({}, file, &spec));
  if (named) return LoadSpec(PrintSpec(spec), {}, meta_learner::CheckParts);
  return LoadSpecFile(file, overrides, meta_learner::CheckParts);
}

absl::StatusOr<v1::ExperimentSpec> SpecOfRun(const ClaimRow& row) {
  MENTOR_ASSIGN_OR_RETURN(v1::ExperimentSpec spec, SpecOfCommand(row.command));
  const MetricTable metrics = meta_learner::AllMetrics(WithDefaults(spec));
  for (const std::string& word : Words(row.measures)) {
    MENTOR_ASSIGN_OR_RETURN(const Measure measure, ParseMeasure(word));
    // A run that patience ends has at least one update more.
    const uint32_t patience = spec.rule().patience();
    const uint32_t least = patience > 0 ? std::min(spec.rule().outer_updates(), patience + 1)
                                        : spec.rule().outer_updates();
    if (spec.rule().outer_updates() > 0 && measure.window > least) {
      return WrongMeasure(word, absl::StrCat("'", row.command, "' has ", least, " outer updates",
                                             patience > 0 ? " at least" : ""));
    }
    if (FindMetric(metrics, measure.metric) != nullptr) continue;
    std::vector<std::string> names;
    for (const MetricInfo& metric : metrics) names.push_back(std::string(metric.name));
    return WrongMeasure(
        word,
        absl::StrCat("'", row.command, "' reports no metric '", Printable(measure.metric),
                     "'; nearest: ", absl::StrJoin(NearestNames(measure.metric, names), ", ")));
  }
  return spec;
}

absl::StatusOr<ClaimNumbers> MeasureTraining(const std::string& measures,
                                             const std::vector<report::TrainingPoint>& training) {
  ClaimNumbers numbers;
  for (const std::string& word : Words(measures)) {
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

std::string CurveOf(const std::string& measures,
                    const std::vector<report::TrainingPoint>& training) {
  const std::set<std::string> metrics = MetricsOf(measures);
  if (metrics.empty()) return "";
  std::string text = "env_steps";
  for (const std::string& metric : metrics) absl::StrAppend(&text, ",", report::CsvField(metric));
  text += '\n';
  const size_t block = (training.size() + kCurvePointsMax - 1) / kCurvePointsMax;
  for (size_t begin = 0; begin < training.size(); begin += block) {
    const size_t end = std::min(begin + block, training.size());
    absl::StrAppend(&text, training[end - 1].env_steps);
    for (const std::string& metric : metrics) {
      double sum = 0;
      int count = 0;
      for (size_t i = begin; i < end; ++i) {
        const auto found = training[i].metrics.find(metric);
        if (found == training[i].metrics.end() || !std::isfinite(found->second)) continue;
        sum += found->second;
        ++count;
      }
      absl::StrAppend(&text, ",", count > 0 ? ShortNumber(sum / count) : "");
    }
    text += '\n';
  }
  return text;
}

absl::StatusOr<ClaimRow> RecordRun(const ClaimRow& row, const std::filesystem::path& run,
                                   bool keep_lifetimes) {
  MENTOR_ASSIGN_OR_RETURN(const report::ReportData data, ReadWholeRun(row, run));
  ClaimRow made = MadeHere(row);
  MENTOR_RETURN_IF_ERROR(StampOrigin(run, &made));
  made.hash = data.identity.state_hash;
  made.evaluation = EvaluationHash(data.evaluation);
  made.metrics = MetricsHash(row.measures, data.training);
  MENTOR_ASSIGN_OR_RETURN(made.numbers, EvaluationNumbers(row, data.evaluation, data.iterations));
  if (keep_lifetimes && !data.evaluation.empty()) {
    MENTOR_ASSIGN_OR_RETURN(made.lifetimes, PackLifetimes(data.evaluation));
  }
  MENTOR_ASSIGN_OR_RETURN(const ClaimNumbers measured,
                          MeasureTraining(row.measures, data.training));
  made.numbers.insert(measured.begin(), measured.end());
  made.curve = CurveOf(row.measures, data.training);
  if (!data.signals.empty()) {
    const report::Correlation pooled = report::Correlate(data.signals);
    const std::pair<const char*, double> correlations[] = {
        {"signal.shaped_pearson", pooled.pearson},
        {"signal.shaped_spearman", pooled.spearman},
        {"signal.progress_pearson", pooled.change_pearson},
        {"signal.progress_spearman", pooled.change_spearman}};
    for (const auto& [name, value] : correlations)
      if (std::isfinite(value)) made.numbers[name] = {value, kNone, kNone};
  }
  const double cpu = data.training.empty() ? 0 : report::CpuSeconds(data.training);
  made.cpu_seconds = std::isfinite(cpu) ? absl::StrFormat("%.0f", cpu) : "";
  made.env_steps =
      absl::StrCat(data.training.empty() ? uint64_t{0} : data.training.back().env_steps);
  return made;
}

namespace {

// What the pooled row needs of a run.
struct PooledRun {
  std::string state_hash;
  std::vector<report::EvaluationRow> evaluation;
  int iterations = 0;
  bool from_lifetimes = false;
};

absl::StatusOr<PooledRun> ReadPooledRun(const ClaimRow& run, const std::filesystem::path& folder,
                                        const std::filesystem::path& claims) {
  std::error_code error;
  // WriteClaim follows a link, too.
  const std::filesystem::path target = std::filesystem::weakly_canonical(claims, error);
  const std::filesystem::path kept =
      target.parent_path() / kLifetimesFolder / (run.name() + kLifetimesEnd);
  if (!run.recorded() || std::filesystem::exists(folder / "mentor.db", error) ||
      !std::filesystem::exists(kept, error)) {
    if (!std::filesystem::exists(folder, error)) {
      return absl::NotFoundError(absl::StrCat(folder.string(),
                                              ": does not exist, and no lifetimes of ", run.name(),
                                              " are kept; run 'mentor reproduce ", run.claim, "'"));
    }
    MENTOR_ASSIGN_OR_RETURN(report::ReportData data, ReadWholeRun(run, folder));
    return PooledRun{data.identity.state_hash, std::move(data.evaluation), data.iterations};
  }
  MENTOR_ASSIGN_OR_RETURN(const v1::ExperimentSpec spec, SpecOfRun(run));
  MENTOR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(kept, kLifetimesBytesMax));
  MENTOR_ASSIGN_OR_RETURN(std::vector<report::EvaluationRow> rows,
                          UnpackLifetimes(bytes, kept.string()));
  if (EvaluationHash(rows) != run.evaluation) {
    return absl::FailedPreconditionError(
        absl::StrCat(kept.string(), ": has other lifetimes than those recorded for ", run.name(),
                     "; run it again with --record --lifetimes"));
  }
  return PooledRun{run.hash, std::move(rows),
                   static_cast<int>(WithDefaults(spec).lifetime().iterations()),
                   /*from_lifetimes=*/true};
}

}  // namespace

absl::StatusOr<ClaimRow> RecordAll(const ClaimRow& row, const std::vector<ClaimRow>& runs,
                                   const std::vector<std::filesystem::path>& folders,
                                   const std::filesystem::path& claims) {
  MENTOR_CHECK(runs.size() == folders.size());
  if (runs.empty()) {
    return absl::NotFoundError(absl::StrCat(
        row.claim, " has no runs to combine; add rows of its runs 1, 2, ... to the file"));
  }
  ClaimRow made = MadeHere(row);
  Sha256 state, evaluation;
  std::vector<report::EvaluationRow> rows;
  int iterations = 0;
  bool any_state = false;
  for (size_t i = 0; i < runs.size(); ++i) {
    MENTOR_ASSIGN_OR_RETURN(const PooledRun data, ReadPooledRun(runs[i], folders[i], claims));
    any_state = any_state || !data.state_hash.empty();
    made.runs_from_lifetimes += data.from_lifetimes ? 1 : 0;
    const std::string lives = EvaluationHash(data.evaluation);
    if (runs[i].recorded() && (runs[i].hash != data.state_hash || runs[i].evaluation != lives))
      made.other_runs.push_back(runs[i].name());
    state.Update(data.state_hash + "\n");
    evaluation.Update(lives + "\n");
    iterations = data.iterations;
    for (report::EvaluationRow one : data.evaluation) {
      one.meta_seed = i;
      rows.push_back(std::move(one));
    }
  }
  if (any_state) made.hash = ToHex(state.Finish());
  if (rows.empty()) return made;
  made.evaluation = ToHex(evaluation.Finish());
  MENTOR_ASSIGN_OR_RETURN(made.numbers, EvaluationNumbers(runs[0], rows, iterations));
  return made;
}

std::string ClaimFingerprint() {
  return absl::StrJoin({envs::CatalogueHash().substr(0, kFingerprintDigits),
                        envs::NumericFingerprint().substr(0, kFingerprintDigits),
                        learner::LearnerFingerprint().substr(0, kFingerprintDigits)},
                       "/");
}

namespace {

// Rows that were recorded before there was such a hash have none.
bool IsOtherMetrics(const ClaimRow& recorded, const ClaimRow& now) {
  return !recorded.metrics.empty() && recorded.metrics != now.metrics;
}

// Returns a sentence for the version, and for each part of the arithmetic, that the record has and
// this process has not.
std::vector<std::string> WhatDiffers(const ClaimRow& recorded, const ClaimRow& now) {
  std::vector<std::string> differs;
  if (recorded.version != now.version) {
    differs.push_back(absl::StrCat("Version ", recorded.version, " made the record, this is ",
                                   now.version, ": the hash may differ."));
  }
  const std::vector<std::string> before = absl::StrSplit(recorded.fingerprint, '/'),
                                 here = absl::StrSplit(now.fingerprint, '/');
  for (size_t i = 0; i < kArithmetic.size(); ++i) {
    if (i < before.size() && i < here.size() && before[i] == here[i]) continue;
    differs.push_back(absl::StrCat("The fingerprint of the ", kArithmetic[i],
                                   " differs (processor then: ", recorded.processor,
                                   "; here: ", now.processor, "): the hash may differ."));
  }
  return differs;
}

}  // namespace

std::vector<std::string> WhatDiffersHere(const ClaimRow& recorded) {
  return recorded.recorded() ? WhatDiffers(recorded, MadeHere(recorded))
                             : std::vector<std::string>();
}

namespace {

// The recorded numbers of all runs but `judged`.
std::vector<double> ValuesOfOthers(const std::vector<ClaimRow>& runs, const ClaimRow& judged,
                                   const std::string& name) {
  std::vector<double> values;
  for (const ClaimRow& run : runs) {
    if (run.name() == judged.name()) continue;
    if (const auto found = run.numbers.find(name); found != run.numbers.end())
      values.push_back(found->second.mean);
  }
  return values;
}

// Returns the 99.9 % prediction interval of one more normal value after `others`:
// mean +- t s sqrt(1 + 1/n). Fewer than three others say too little about the spread: it is empty.
Interval RangeOfOneMore(const std::vector<double>& others) {
  // Student's t, 0.9995 quantile, by degrees of freedom from 2 on; the last entry serves all larger
  // ones.
  constexpr std::array kT = {31.60, 12.92, 8.610, 6.869, 5.959, 5.408, 5.041, 4.781};
  if (others.size() < 3) return {kNone, kNone, kNone};
  const auto n = static_cast<double>(others.size());
  double mean = 0, squares = 0;
  for (const double other : others) mean += other / n;
  for (const double other : others) squares += (other - mean) * (other - mean);
  const double t = kT[std::min(others.size() - 3, kT.size() - 1)];
  const double reach = t * std::sqrt(squares / (n - 1) * (1 + 1 / n));
  return {mean, mean - reach, mean + reach};
}

// Too few others exclude nothing.
bool OneMore(const std::vector<double>& others, double value) {
  const Interval range = RangeOfOneMore(others);
  return !std::isfinite(range.mean) || (range.low <= value && value <= range.high);
}

// Says which part of a result has another hash.
std::string OtherHash(const ClaimRow& recorded, const ClaimRow& now) {
  const auto or_none = [](const std::string& hash) { return hash.empty() ? "none" : hash; };
  if (recorded.hash != now.hash) {
    return absl::StrCat("another hash: ", or_none(now.hash), ", recorded ", or_none(recorded.hash));
  }
  if (recorded.evaluation != now.evaluation) {
    return absl::StrCat("the same hash, other lives in the evaluation: ", now.evaluation,
                        ", recorded ", recorded.evaluation);
  }
  if (IsOtherMetrics(recorded, now)) {
    return absl::StrCat("the same hash, other metrics along the run: ", or_none(now.metrics),
                        ", recorded ", recorded.metrics);
  }
  return "the same hash, other numbers";
}

// Says why another result may be right, if another version or arithmetic made the record.
void ExplainHash(const ClaimRow& recorded, const ClaimRow& now, ClaimVerdict* verdict) {
  verdict->sentences.push_back(OtherHash(recorded, now));
  std::vector<std::string> why = WhatDiffers(recorded, now);
  verdict->may_differ = !why.empty();
  if (why.empty()) {
    why.push_back(
        "Version and arithmetic are those of the record. So Mentor's bits have changed, the run's "
        "folder is damaged, or the record was edited. Run it again in a new folder. If the result "
        "is the same again, record it with --record --replace, and update every number in the docs "
        "that comes from it.");
  }
  verdict->sentences.insert(verdict->sentences.end(), why.begin(), why.end());
}

// Compares one number with the recorded one; `others` are those of the claim's other runs. Returns
// true if their texts are equal.
bool CompareNumber(const std::string& name, const Interval& recorded, const Interval& own,
                   std::vector<double> others, ClaimVerdict* verdict) {
  const std::string here = ShortNumbers({{name, own}}), then = ShortNumbers({{name, recorded}});
  if (here == then) return true;
  // Identical lifetimes give identical numbers. Different bits count as another meta-seed.
  const bool known = std::isfinite(recorded.low) && std::isfinite(own.low);
  const bool meet = known && own.low <= recorded.high && recorded.low <= own.high;
  // What is judged must not widen its own range: neither number does.
  const bool one_more = OneMore(others, own.mean);
  others.push_back(own.mean);
  const Interval range = RangeOfOneMore(others);
  const bool as_recorded = range.low <= recorded.mean && recorded.mean <= range.high;
  const bool agrees =
      !verdict->same_bits && (meet || (verdict->may_differ && one_more && as_recorded));
  verdict->numbers_agree = verdict->numbers_agree && agrees;
  verdict->sentences.push_back(absl::StrCat(
      here, ", recorded ", then.substr(name.size() + 1),
      verdict->same_bits
          ? " (of the same bits: the record or the run's metrics were edited or damaged, or how it "
            "is computed has changed)"
      : meet   ? " (the intervals meet)"
      : agrees ? absl::StrCat(" (one more meta-seed may have ", ShortNumber(range.low), " to ",
                              ShortNumber(range.high), ")")
               : " (beyond the recorded interval, and beyond other meta-seeds)"));
  return false;
}

}  // namespace

ClaimVerdict CompareClaims(const ClaimRow& recorded, const ClaimRow& now,
                           const std::vector<ClaimRow>& runs) {
  const bool same_hashes = recorded.hash == now.hash && recorded.evaluation == now.evaluation &&
                           !IsOtherMetrics(recorded, now);
  // What no hash covers may differ by the arithmetic, too: nobody has edited it then.
  const bool by_arithmetic = ShortNumbers(recorded.numbers) != ShortNumbers(now.numbers) &&
                             !recorded.numbers.empty() && !WhatDiffers(recorded, now).empty();
  ClaimVerdict verdict{.same_bits = same_hashes && !by_arithmetic};
  if (verdict.same_bits) {
    verdict.sentences.push_back(absl::StrCat("reproduced bit for bit: hash ", now.result()));
  } else {
    ExplainHash(recorded, now, &verdict);
  }
  if (verdict.same_bits && recorded.env_steps != now.env_steps) {
    verdict.numbers_agree = false;
    verdict.sentences.push_back(
        absl::StrCat("environment steps: ", now.env_steps, ", recorded ", recorded.env_steps));
  }
  bool all_equal = true;
  for (const auto& [name, number] : recorded.numbers) {
    const auto found = now.numbers.find(name);
    if (found == now.numbers.end()) {
      verdict.numbers_agree = false;
      verdict.sentences.push_back(absl::StrCat(name, ": recorded, and not measured here"));
      continue;
    }
    all_equal = CompareNumber(name, number, found->second, ValuesOfOthers(runs, recorded, name),
                              &verdict) &&
                all_equal;
  }
  if (verdict.same_bits && !recorded.numbers.empty()) {
    for (const auto& [name, number] : now.numbers) {
      if (recorded.numbers.contains(name)) continue;
      verdict.numbers_agree = false;
      verdict.sentences.push_back(
          absl::StrCat(ShortNumbers({{name, number}}), ": measured here, and not in the record"));
    }
  }
  if (recorded.numbers.empty() && !now.numbers.empty()) {
    verdict.numbers_agree = false;
    verdict.sentences.push_back("The record has no numbers; record it again.");
  } else if (verdict.same_bits) {
    return verdict;
  } else if (recorded.numbers.empty()) {
    // A row of all runs has numbers only where lives are evaluated.
    verdict.numbers_agree = recorded.is_pooled() && verdict.may_differ;
    verdict.sentences.push_back(
        recorded.is_pooled() ? "It has no numbers of its own; those of its runs are compared."
                             : "No numbers are recorded that could be compared.");
  } else if (all_equal && verdict.numbers_agree) {
    verdict.sentences.push_back("All numbers are the recorded ones.");
  }
  return verdict;
}

}  // namespace mentor
