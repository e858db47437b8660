#include "cli/local/claims.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "cli/local/run_bundles.h"
#include "cli/report/csv.h"
#include "common/check.h"
#include "common/edit_distance.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/installed.h"
#include "common/printable.h"
#include "common/resources/names.h"
#include "common/spec/ready_specs.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "meta_learner/curricula/curriculum.h"

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

constexpr char kNumbers[] = "numbers";
constexpr uint32_t kMeasuredMax = 1'000'000;  // Outer updates of a measure.
constexpr size_t kStateHashDigits = 64, kArithmeticParts = 3;

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
  for (const std::string& word : MeasuresOf(row.measures)) {
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
  if (row.recorded() && (parts.size() != kArithmeticParts ||
                         !std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
                           return part.size() == kClaimFingerprintDigits && IsHex(part);
                         }))) {
    return refuse("fingerprint", row.fingerprint, "three times ", kClaimFingerprintDigits,
                  " hexadecimal digits, parted by '/'; copy it whole, or record the run again");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WrongMeasure(const std::string& word, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("measure '", Printable(word), "': ", what));
}

std::vector<std::string> MeasuresOf(const std::string& measures) {
  return Words(measures);
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

std::filesystem::path ClaimsFile() {
  std::error_code error;
  const std::filesystem::path folder = InstalledFolder("MENTOR_CLAIMS", "results");
  return std::filesystem::is_regular_file(folder, error) ? folder : folder / "claims.csv";
}

absl::StatusOr<std::vector<ClaimRow>> ReadClaims(const std::filesystem::path& file) {
  auto text = ReadFile(file, report::kCsvBytesMax);
  if (!text.ok()) return WithSuffix(text.status(), "; name the file of claims with --claims");
  return ParseClaims(*text, file.string());
}

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

std::string PrintClaims(const std::vector<ClaimRow>& rows) {
  std::vector<std::string> cells;
  for (const Column& column : kColumns) cells.push_back(column.name);
  cells.push_back(kNumbers);
  std::string text = report::CsvLine(cells);
  for (const ClaimRow& row : rows) {
    cells.clear();
    for (const Column& column : kColumns) cells.push_back(row.*column.member);
    cells.push_back(ShortNumbers(row.numbers));
    text += report::CsvLine(cells);
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
  MENTOR_ASSIGN_OR_RETURN(v1::ExperimentSpec spec, LoadSpecFile(file, overrides));
  MENTOR_RETURN_IF_ERROR(NameBundles({}, file, &spec).status());
  return spec;
}

absl::StatusOr<meta_learner::CheckedSpec> SpecOfRun(const ClaimRow& row) {
  MENTOR_ASSIGN_OR_RETURN(const v1::ExperimentSpec spec, SpecOfCommand(row.command));
  Violations violations;
  auto checked = meta_learner::Check(spec, &violations);
  if (!checked) return ToStatus(violations);
  const v1::RuleSpec& rule = spec.rule();
  const MetricTable metrics = meta_learner::AllMetrics(spec);
  for (const std::string& word : MeasuresOf(row.measures)) {
    MENTOR_ASSIGN_OR_RETURN(const Measure measure, ParseMeasure(word));
    // A run that patience ends has at least one update more.
    const uint32_t patience = rule.patience();
    const uint32_t least =
        patience > 0 ? std::min(rule.outer_updates(), patience + 1) : rule.outer_updates();
    if (rule.outer_updates() > 0 && measure.window > least) {
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
  return *std::move(checked);
}

}  // namespace mentor
