#include "cli/local/run_metrics.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "cli/local/run_report.h"
#include "cli/local/sparkline.h"
#include "common/check.h"
#include "common/file.h"

namespace mentor {
namespace {

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
    : options_(std::move(options)), last_seg_(absl::StrCat("seg", options_.iterations - 1)) {}

absl::StatusOr<std::unique_ptr<RunMetrics>> RunMetrics::Open(Options options) {
  std::unique_ptr<RunMetrics> metrics(new RunMetrics(std::move(options)));
  MENTOR_RETURN_IF_ERROR(metrics->Update());
  return metrics;
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
  return absl::OkStatus();
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
