#include "cli/report/records.h"

#include <array>
#include <charconv>
#include <map>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

#include "cli/report/csv.h"
#include "cli/report/training_table.h"
#include "common/check.h"
#include "common/evaluation_method.h"
#include "common/file.h"
#include "common/protocol.h"

namespace mentor::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr int kFolderMode = 0755, kFileMode = 0644;  // People share reports.

// The shortest texts that read back as the same numbers.
std::string NumbersText(const std::vector<double>& values) {
  return absl::StrJoin(values, " ", [](std::string* text, double value) {
    std::array<char, 32> number{};
    text->append(number.data(), std::to_chars(number.begin(), number.end(), value).ptr);
  });
}

Json JsonOf(const Identity& identity) {
  return {{"experiment", identity.experiment},
          {"method", identity.method},
          {"protocol", identity.protocol},
          {"rule", identity.rule},
          {"signal", identity.signal},
          {"settings", identity.settings},
          {"seed", identity.seed},
          {"goal_seed", identity.goal_seed},
          {"training_goals", identity.training_goals},
          {"test_goals", identity.test_goals},
          {"state_hash", identity.state_hash},
          {"lifetimes_per_update", identity.lifetimes_per_update},
          {"baseline_iteration_steps", identity.baseline_iteration_steps},
          {"iteration_steps", identity.iteration_steps}};
}

Json JsonOf(const MetricTable& metrics) {
  Json all = Json::array();
  for (const MetricInfo& metric : metrics) {
    all.push_back({{"name", metric.name},
                   {"unit", metric.unit},
                   {"help", metric.help},
                   {"label", metric.label},
                   {"panel", PanelName(metric.panel)},
                   {"log_scale", metric.log_scale}});
  }
  return all;
}

Json JsonOf(const std::vector<MapSample>& maps) {
  Json all = Json::array();
  for (const MapSample& map : maps) {
    all.push_back({{"name", map.name},
                   {"lifetime", map.lifetime},
                   {"iteration", map.iteration},
                   {"rows", map.rows},
                   {"columns", map.columns},
                   {"values", map.values}});
  }
  return all;
}

// Everything of run.json but the counts of rows.
Json JsonOf(const ReportData& data) {
  Json facts = Json::array();
  for (const auto& [name, value] : data.facts) facts.push_back({name, value});
  return {{"format", kFormat},
          {"mentor", kBuildVersion},
          {"title", data.title},
          {"run", data.run},
          {"folder", data.folder},
          {"spec_file", data.spec_file},
          {"failure", data.failure},
          {"succeeded", data.succeeded},
          {"goes_on", data.goes_on},
          {"spec_hash", data.spec_hash},
          {"origin", data.origin},
          {"outer_updates_made", data.outer_updates_made},
          {"damaged_checkpoints", data.damaged_checkpoints},
          {"spec_text", data.spec_text},
          {"facts", facts},
          {"signal_role", data.signal_role},
          {"meta_learns", data.meta_learns},
          {"iterations", data.iterations},
          {"outer_updates_total", data.outer_updates_total},
          {"patience", data.patience},
          {"outer_updates_paper", data.outer_updates_paper},
          {"seg0_is_control", data.seg0_is_control},
          {"measures_nothing", data.measures_nothing},
          {"metrics", JsonOf(data.metrics)},
          {"evaluated_update", data.evaluated_update},
          {"evaluated_before", data.evaluated_before},
          {"beside_known", data.beside_known},
          {"episode_steps", data.signals.empty() ? 0 : data.signals[0].episode_steps},
          {"identity", JsonOf(data.identity)}};
}

std::string TextOf(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

struct File {
  size_t rows = 0;
  std::string text;
};

File SignalsOf(const std::vector<SignalSample>& samples) {
  File file{.text = CsvLine({"lifetime", "step", "signal", "shaped_reward"})};
  for (size_t i = 0; i < samples.size(); ++i) {
    for (size_t t = 0; t < samples[i].signal.size(); ++t, ++file.rows) {
      file.text += CsvLine({absl::StrCat(i + 1), absl::StrCat(t), CsvNumber(samples[i].signal[t]),
                            CsvNumber(samples[i].shaped[t])});
    }
  }
  return file;
}

// A line for each evaluated lifetime. Teachers are named as in the options of programs, the rest is
// as in EvaluationRow.
std::string LifetimesCsv(const std::vector<EvaluationRow>& rows) {
  std::string text = CsvLine({"teacher", "split", "environment", "lifetime", "goal", "goal_seed",
                              "has_goals", "seed", "lifetime_episodes", "segment_episodes",
                              "episode_success", "episode_return"});
  for (const EvaluationRow& row : rows) {
    // Agents beside their signal are taught by what is learned.
    const auto method = row.method == v1::EVALUATION_METHOD_UNSPECIFIED
                            ? v1::EVALUATION_METHOD_LEARNED
                            : row.method;
    text += CsvLine({InfoOf(method).option, row.split, row.environment, absl::StrCat(row.lifetime),
                     absl::StrCat(row.goal), absl::StrCat(row.goal_seed), row.has_goals ? "1" : "0",
                     absl::StrCat(row.seed), absl::StrCat(row.lifetime_episodes),
                     absl::StrJoin(row.segment_episodes, " "), NumbersText(row.episode_success),
                     NumbersText(row.episode_return)});
  }
  return text;
}

}  // namespace

absl::Status WriteRecords(const ReportData& data, const std::filesystem::path& folder) {
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder, kFolderMode));
  const MetricSet metrics = MetricNames(data.training);
  std::map<std::string, File> files;
  files["training.csv"] = {data.training.size(),
                           TrainingHeader(metrics) + TrainingRows(data.training, metrics)};
  files["lifetimes.csv"] = {data.evaluation.size(), LifetimesCsv(data.evaluation)};
  files["beside.csv"] = {data.beside.size(), LifetimesCsv(data.beside)};
  files["signals.csv"] = SignalsOf(data.signals);
  files["maps.json"] = {data.maps.size(), TextOf(JsonOf(data.maps))};
  Json counts = Json::object();
  for (const auto& [name, file] : files) {
    std::error_code ignored;
    if (file.rows == 0) {
      std::filesystem::remove(folder / name, ignored);
      continue;
    }
    counts[name] = file.rows;
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(folder / name, file.text, kFileMode));
  }
  Json record = JsonOf(data);
  record["files"] = std::move(counts);
  return WriteFileAtomically(folder / "run.json", TextOf(record), kFileMode);
}

}  // namespace mentor::report
