#include "mentor/local/run_metrics.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <map>
#include <numeric>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "common/check.h"
#include "common/evaluation_method.h"
#include "common/file.h"
#include "common/spec/spec_event.h"
#include "mentor/local/run_report.h"
#include "mentor/local/sparkline.h"
#include "mentor/report/evaluation.h"

namespace mentor {
namespace {

constexpr uint64_t kEventFileBytesMax = uint64_t{1} << 30;
// Shown values are means over this many outer updates: a single round of few lifetimes is too
// noisy.
constexpr size_t kShown = 5;
constexpr int kCurveColumns = 30;

absl::Status Append(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::app);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.flush();
  return file.good() ? absl::OkStatus() : FileError("writing", path, errno);
}

double NowSeconds() {
  return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
}

double Mean(std::span<const double> numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0) / static_cast<double>(numbers.size());
}

// Means of up to kShown consecutive numbers: the last mean, and the greatest so far.
struct Shown {
  double last = 0, best = 0;
};

Shown LastAndBest(const std::vector<double>& numbers) {
  const size_t count = std::min(kShown, numbers.size());
  Shown shown;
  for (size_t end = count; end <= numbers.size(); ++end) {
    shown.last = Mean(std::span(numbers).subspan(end - count, count));
    shown.best = end == count ? shown.last : std::max(shown.best, shown.last);
  }
  return shown;
}

}  // namespace

RunMetrics::RunMetrics(Options options)
    : options_(std::move(options)),
      last_seg_(absl::StrCat("seg", options_.experiment.spec().lifetime().iterations() - 1)) {}

absl::StatusOr<std::unique_ptr<RunMetrics>> RunMetrics::Open(Options options) {
  std::unique_ptr<RunMetrics> metrics(new RunMetrics(std::move(options)));
  if (!metrics->options_.tensorboard.empty()) MENTOR_RETURN_IF_ERROR(metrics->OpenEvents());
  MENTOR_RETURN_IF_ERROR(metrics->Update());
  return metrics;
}

// Each experiment has one event file. A torn end is cut off, because no record may follow it.
absl::Status RunMetrics::OpenEvents() {
  const v1::Experiment& experiment = options_.experiment;
  MENTOR_RETURN_IF_ERROR(MakeFolders(options_.tensorboard, 0755));
  events_ = options_.tensorboard / absl::StrFormat("events.out.tfevents.%010d.%s",
                                                   experiment.create_time().seconds(),
                                                   experiment.uid().substr(0, 8));
  const auto bytes = ReadFile(events_, kEventFileBytesMax);
  if (!bytes.ok() && !absl::IsNotFound(bytes.status())) return bytes.status();
  const EventFileContents contents = ReadEventFile(bytes.ok() ? *bytes : "");
  for (const tensorboard::Event& event : contents.events) {
    std::set<std::pair<std::string, int64_t>> values;
    for (const auto& value : event.summary().value()) values.emplace(value.tag(), event.step());
    if (values.contains({kEnvStepsTag, event.step()})) {
      last_event_ = event.step();
    } else {
      known_.merge(values);
    }
  }
  std::string text;
  if (!known_.contains({kSpecTag, 0})) {
    text =
        SpecEvent(NowSeconds(), {.uid = experiment.uid(),
                                 .began_s = static_cast<double>(experiment.create_time().seconds()),
                                 .spec = experiment.spec()});
  }
  if (contents.events.empty())
    return WriteFileAtomically(events_, EventFileHeader(NowSeconds()) + text, 0644);
  std::error_code error;
  std::filesystem::resize_file(events_, contents.bytes, error);
  return error ? FileError("writing", events_, error.value()) : Append(events_, text);
}

absl::Status RunMetrics::AddEvents(const std::vector<report::TrainingPoint>& points) {
  std::string text;
  for (const report::TrainingPoint& point : points) {
    if (point.outer_update <= last_event_) continue;
    std::vector<Scalar> scalars = {{kEnvStepsTag, static_cast<double>(point.env_steps)}};
    for (const auto& [name, value] : point.metrics) scalars.push_back({GroupedTag(name), value});
    text += ScalarEvent(NowSeconds(), point.outer_update, scalars);
  }
  if (text.empty()) return absl::OkStatus();
  MENTOR_RETURN_IF_ERROR(Append(events_, text));
  last_event_ = points.back().outer_update;
  return absl::OkStatus();
}

std::string RunMetrics::Fresh(int64_t step, std::vector<Scalar> scalars) {
  std::erase_if(scalars,
                [&](const Scalar& scalar) { return !known_.emplace(scalar.tag, step).second; });
  return scalars.empty() ? "" : ScalarEvent(NowSeconds(), step, scalars);
}

absl::Status RunMetrics::AddEvaluation(const report::ReportData& data) {
  if (events_.empty() || data.evaluation.empty()) return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(const std::vector<report::MethodResult> results,
                          report::SummariseEvaluation(data.evaluation, data.iterations));
  std::vector<Scalar> numbers;
  std::string curves;
  for (const report::MethodResult& result : results) {
    const std::string prefix =
        absl::StrCat("evaluation/", result.split, "/", TagOf(result.method), "/",
                     result.environment, result.environment.empty() ? "" : "/");
    for (size_t i = 0; i < result.segments.size(); ++i)
      numbers.push_back({absl::StrCat(prefix, "seg", i), result.segments[i].mean});
    numbers.push_back({prefix + "last", result.last.mean});
    if (result.det) numbers.push_back({prefix + "det", result.det->mean});
    if (result.last_return) numbers.push_back({prefix + "return", result.last_return->mean});
    for (int episode = 0; episode < result.lifetime_episodes; ++episode) {
      std::vector<double> success, returns;
      for (const report::EvaluationRow& row : data.evaluation) {
        if (row.lifetime_episodes == 0 || row.method != result.method ||
            row.split != result.split ||
            (!result.environment.empty() && row.environment != result.environment))
          continue;
        success.push_back(row.episode_success[episode]);
        if (!row.episode_return.empty()) returns.push_back(row.episode_return[episode]);
      }
      std::vector<Scalar> point = {{prefix + "success_by_episode", Mean(success)}};
      if (result.last_return) point.push_back({prefix + "return_by_episode", Mean(returns)});
      curves += Fresh(episode + 1, std::move(point));
    }
  }
  return Append(events_, Fresh(data.evaluated_update, std::move(numbers)) + curves);
}

absl::Status RunMetrics::Update() {
  MENTOR_ASSIGN_OR_RETURN(const auto fresh, options_.points(last_step_ + 1, UINT32_MAX));
  const std::vector<report::TrainingPoint> points = TrainingPoints(fresh);
  if (points.empty()) return absl::OkStatus();
  for (const report::TrainingPoint& point : points) {
    for (const std::string& name : {last_seg_, std::string("success")}) {
      const auto found = point.metrics.find(name);
      if (found == point.metrics.end()) continue;
      success_.push_back(found->second);
      break;
    }
    if (const auto found = point.metrics.find("shaped_return"); found != point.metrics.end())
      return_.push_back(found->second);
  }
  const report::MetricSet names = report::MetricNames(points);
  if (has_csv_ && std::includes(columns_.begin(), columns_.end(), names.begin(), names.end(),
                                report::NaturalOrder())) {
    MENTOR_RETURN_IF_ERROR(Append(options_.csv, report::TrainingRows(points, columns_)));
  } else {
    // There is a new column, or the end of the file is unknown: rewrite the file. Points that
    // arrive meanwhile wait for the next call, which would append them again.
    MENTOR_ASSIGN_OR_RETURN(const auto known, options_.points(0, points.back().outer_update));
    const std::vector<report::TrainingPoint> all = TrainingPoints(known);
    columns_ = report::MetricNames(all);
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(
        options_.csv, report::TrainingHeader(columns_) + report::TrainingRows(all, columns_),
        0644));
    has_csv_ = true;
  }
  last_step_ = points.back().outer_update;
  return events_.empty() ? absl::OkStatus() : AddEvents(points);
}

std::string RunMetrics::Learned(int columns) const {
  const std::vector<double>& curve = options_.has_success && !success_.empty() ? success_ : return_;
  if (curve.empty()) return "";
  const size_t updates = std::min(kShown, curve.size());
  std::string text =
      updates == 1 ? "first update: " : absl::StrFormat("last %d updates: ", updates);
  const char* separator = "";
  if (&curve == &success_) {
    const Shown success = LastAndBest(success_);
    absl::StrAppendFormat(&text, "success %.0f %% (best %.0f %%)", 100 * success.last,
                          100 * success.best);
    separator = ", ";
  }
  if (!return_.empty()) {
    const Shown shown = LastAndBest(return_);
    absl::StrAppendFormat(&text, "%sreturn %.4g (best %.4g)", separator, shown.last, shown.best);
  }
  const int room = columns - static_cast<int>(text.size()) - 2;
  if (curve.size() > 1 && room >= 5)
    absl::StrAppend(&text, "  ",
                    Sparkline(curve, std::min(room, kCurveColumns), TerminalShowsUtf8()));
  return text;
}

}  // namespace mentor
