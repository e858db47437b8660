#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/edit_distance.h"
#include "common/metric_info.h"
#include "common/printable.h"
#include "common/status.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/curricula/curriculum.h"
#include "meta_learner/store/paging.h"

namespace mentor::meta_learner {
namespace {

constexpr uint32_t kPointsDefault = 1000, kPointsMax = 10'000;
// Bytes of help texts in one answer. They repeat with a thousand inner iterations of fifty
// environments.
constexpr size_t kHelpBytesMax = 1 << 20;

std::vector<std::string> Ordered(const std::map<std::string, Series>& points) {
  std::vector<std::string> names;
  for (const auto& [metric, series] : points) names.push_back(metric);
  std::sort(names.begin(), names.end(), NaturalLess);
  return names;
}

MetricTable Declared(const v1::Experiment& experiment) {
  return AllMetrics(experiment.spec());
}

// Merges neighbouring points into groups of nearly equal size, in the order of the steps.
v1::MetricSeries MergePoints(const std::string& metric, const Series& all, uint32_t max_points) {
  Series series;
  std::copy_if(all.begin(), all.end(), std::back_inserter(series),
               [](const auto& point) { return std::isfinite(point.second); });
  v1::MetricSeries out;
  out.set_metric(metric);
  const size_t groups = std::min<size_t>(series.size(), std::max(1u, max_points));
  for (size_t group = 0; group < groups; ++group) {
    const size_t begin = group * series.size() / groups;
    const size_t end = (group + 1) * series.size() / groups;
    double sum = 0, least = series[begin].second, greatest = least;
    for (size_t i = begin; i < end; ++i) {
      sum += series[i].second;
      least = std::min(least, series[i].second);
      greatest = std::max(greatest, series[i].second);
    }
    out.add_steps(series[begin].first);
    out.add_mean(sum / static_cast<double>(end - begin));
    out.add_min(least);
    out.add_max(greatest);
    out.add_count(static_cast<uint32_t>(end - begin));
  }
  return out;
}

absl::Status TooManyPoints(const std::map<std::string, Series>& points, int fitting) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, Reason::kMessageTooLong,
      absl::StrFormat(
          "the points of %d metrics do not fit in one answer, but those of %d do: name fewer "
          "metrics, lower max_points, or set page_size and follow next_page_token",
          points.size(), fitting));
}

v1::ListMetricsResponse DescribeMetrics(const std::map<std::string, Series>& points,
                                        const MetricTable& declared) {
  v1::ListMetricsResponse response;
  size_t help_bytes = 0;
  for (const std::string& metric : Ordered(points)) {
    const Series& series = points.at(metric);
    v1::MetricDescriptor& descriptor = *response.add_descriptors();
    descriptor.set_name(metric);
    const MetricInfo* info = FindMetric(declared, metric);
    descriptor.set_unit(info == nullptr ? "1" : info->unit);
    if (info != nullptr && help_bytes < kHelpBytesMax) descriptor.set_help(info->help);
    help_bytes += descriptor.help().size();
    if (series.empty()) continue;
    descriptor.set_last(series.back().second);
    descriptor.set_last_step(series.back().first);
  }
  return response;
}

}  // namespace

absl::Status CheckMetricNames(Results* results, const v1::Experiment& experiment,
                              const google::protobuf::RepeatedPtrField<std::string>& names) {
  const MetricTable declared = Declared(experiment);
  std::set<std::string> unknown;
  for (const std::string& name : names) {
    if (FindMetric(declared, name) == nullptr) unknown.insert(name);
  }
  if (unknown.empty()) return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(const auto recorded, results->LastPoints(experiment.uid()));
  std::vector<std::string> known = Ordered(recorded);
  // Without recorded metrics, suggest declared ones, although some may get no values here.
  for (const MetricInfo& metric : declared) {
    if (recorded.empty() && !metric.name.ends_with('*')) known.push_back(metric.name);
  }
  for (const std::string& name : unknown) {
    if (recorded.contains(name)) continue;
    return MakeError(Reason::kNotFound,
                     absl::StrFormat("%s has no metric '%s'; %s", experiment.name(),
                                     Printable(name), NameHint(name, known)));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::QueryMetricsResponse> QueryMetrics(Records* records, Results* results,
                                                      const v1::QueryMetricsRequest& request) {
  Violations violations;
  if (request.max_points() > kPointsMax) {
    violations.Add("max_points",
                   absl::StrFormat("is %d; give at most %d", request.max_points(), kPointsMax));
  }
  if (request.step_max() != 0 && request.step_max() < request.step_min()) {
    violations.Add("step_max", absl::StrFormat("is %d, less than step_min %d", request.step_max(),
                                               request.step_min()));
  }
  PageRoom room(PageSizeOrAll(request.page_size(), &violations));
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  const std::string query = "metrics " + request.name();
  MENTOR_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(request.page_token(), query));
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, records->Get(request.name()));
  MENTOR_RETURN_IF_ERROR(CheckMetricNames(results, experiment, request.metrics()));
  const std::set<std::string> metrics(request.metrics().begin(), request.metrics().end());
  MENTOR_ASSIGN_OR_RETURN(
      const auto points,
      results->Points(experiment.uid(), metrics, request.step_min(),
                      request.step_max() == 0 ? UINT32_MAX : request.step_max()));
  v1::QueryMetricsResponse response;
  for (const std::string& metric : Ordered(points)) {
    if (!after.empty() && !NaturalLess(after, metric)) continue;
    v1::MetricSeries series =
        MergePoints(metric, points.at(metric),
                    request.max_points() == 0 ? kPointsDefault : request.max_points());
    if (!room.Take(series.ByteSizeLong())) {
      // A client that does not know pages would take the first page for the whole answer.
      if (request.page_size() == 0) return TooManyPoints(points, response.series_size());
      response.set_next_page_token(MakePageToken(query, response.series().rbegin()->metric()));
      break;
    }
    *response.add_series() = std::move(series);
  }
  return response;
}

absl::StatusOr<v1::ListMetricsResponse> ListMetrics(Records* records, Results* results,
                                                    const v1::ListMetricsRequest& request) {
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, records->Get(request.name()));
  MENTOR_ASSIGN_OR_RETURN(const auto points, results->LastPoints(experiment.uid()));
  return DescribeMetrics(points, Declared(experiment));
}

}  // namespace mentor::meta_learner
