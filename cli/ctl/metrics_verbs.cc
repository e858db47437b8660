// The verb `metrics`.
#include <algorithm>
#include <map>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/experiment_flags.h"
#include "cli/ctl/experiment_watch.h"
#include "cli/ctl/values.h"
#include "common/check.h"
#include "common/status.h"

namespace mentor::ctl {
namespace {

constexpr int kMetricsAtOnce = 1000;  // Per response; fewer when the response grows too long.

struct MetricsFlags {
  std::string name;
  std::vector<std::string> metrics;
  uint32_t from = 0;
  uint32_t to = 0;
  uint32_t points = 0;
  bool csv = false;
  bool json = false;
  bool follow = false;
};

absl::StatusOr<v1::ListMetricsResponse> Describe(Client* client, const std::string& name) {
  v1::ListMetricsRequest request;
  request.set_name(FullName(name));
  return client->Call(&Stub::ListMetrics, request);
}

// Returns known metrics. Refuses those without points in the range, which would be empty columns:
// their points are earlier or later. The server refuses unknown names.
absl::StatusOr<v1::QueryMetricsResponse> Query(Client* client, const MetricsFlags& flags,
                                               uint32_t points) {
  v1::QueryMetricsRequest request;
  request.set_name(FullName(flags.name));
  for (const std::string& metric : flags.metrics) request.add_metrics(metric);
  request.set_step_min(flags.from);
  request.set_step_max(flags.to);
  request.set_max_points(points);
  request.set_page_size(kMetricsAtOnce);
  MENTOR_ASSIGN_OR_RETURN(auto answer, client->CallForAll(&Stub::QueryMetrics, request));
  std::set<std::string> known;
  for (const auto& series : answer.series()) known.insert(series.metric());
  for (const std::string& metric : flags.metrics) {
    if (known.contains(metric)) continue;
    return WithHint(
        MakeError(Reason::kNotFound,
                  request.name() + " has no values of '" + metric + "' in these outer updates"),
        "'mentorctl metrics " + ShortName(flags.name) + "' lists those that have values");
  }
  return answer;
}

// Prints rows of points as they come: in a table, columns are as wide as their titles, and at least
// eleven characters.
class PointWriter {
 public:
  PointWriter(const Output* output, std::vector<std::string> metrics)
      : output_(output), metrics_(std::move(metrics)) {
    Row titles = {output->table() ? "STEP" : "step"};
    for (const std::string& metric : metrics_) titles.emplace_back(metric);
    if (output_->table() || output_->format() == Format::kCsv) Print(std::move(titles));
  }

  void Point(uint32_t step, const std::map<std::string, double>& values) {
    if (!output_->table() && output_->format() != Format::kCsv) {
      v1::WatchMetricsResponse message;
      message.set_step(step);
      for (const auto& [metric, value] : values) (*message.mutable_values())[metric] = value;
      return output_->Document(message, absl::StrCat(step));
    }
    Row row = {absl::StrCat(step)};
    for (const std::string& metric : metrics_) {
      const auto value = values.find(metric);
      if (value == values.end()) {
        row.emplace_back(output_->table() ? "-" : "");
      } else {
        row.emplace_back(output_->table() ? absl::StrFormat("%.5g", value->second)
                                          : Number(value->second));
      }
    }
    Print(std::move(row));
  }

 private:
  void Print(Row row) const {
    if (output_->table()) {
      std::string line = absl::StrFormat("%8s", row[0].text);
      for (size_t i = 0; i < metrics_.size(); ++i) {
        const int width = std::max<int>(11, static_cast<int>(metrics_[i].size()));
        absl::StrAppendFormat(&line, "  %*s", width, row[i + 1].text);
      }
      std::printf("%s\n", Printable(line).c_str());
    } else {
      output_->Table({std::move(row)});
    }
    std::fflush(stdout);
  }

  const Output* const output_;
  const std::vector<std::string> metrics_;
};

absl::StatusOr<int> ShowNames(Session& session, const MetricsFlags& flags) {
  MENTOR_ASSIGN_OR_RETURN(const auto answer, Describe(session.client, flags.name));
  Listing listing(&session.output, {"METRIC", "UNIT", "LAST", "STEP", "HELP"});
  for (const auto& metric : answer.descriptors()) {
    listing.Add(metric, metric.name(),
                {metric.name(), metric.unit(), absl::StrFormat("%.5g", metric.last()),
                 absl::StrCat(metric.last_step()), metric.help()});
  }
  return listing.End();
}

// Prints points as they arrive, across broken connections: each new stream begins after the last
// point.
absl::StatusOr<int> FollowMetrics(Session& session, const Output& output,
                                  const MetricsFlags& flags) {
  std::vector<std::string> columns = flags.metrics;
  if (columns.empty()) {
    MENTOR_ASSIGN_OR_RETURN(const auto known, Describe(session.client, flags.name));
    for (const auto& metric : known.descriptors()) columns.push_back(metric.name());
    if (columns.empty() && (output.table() || output.format() == Format::kCsv)) {
      return absl::FailedPreconditionError(
          "there are no metrics yet, so the columns are not known: name the metrics");
    }
  }
  PointWriter writer(&output, columns);
  v1::WatchMetricsRequest request;
  request.set_name(FullName(flags.name));
  for (const std::string& metric : flags.metrics) request.add_metrics(metric);
  if (flags.from > 0) request.set_after_step(flags.from - 1);
  const auto on_lost = NoteLost(&output);
  bool lost = false;
  for (int attempt = 0;; ++attempt) {
    const absl::Status status =
        session.client->Stream<v1::WatchMetricsRequest, v1::WatchMetricsResponse>(
            &Stub::WatchMetrics, request, [&](const v1::WatchMetricsResponse& point) {
              attempt = 0;
              lost = false;
              request.set_after_step(point.step());
              writer.Point(point.step(), {point.values().begin(), point.values().end()});
              return flags.to == 0 || point.step() < flags.to;
            });
    if (status.ok()) return kOk;  // The experiment has ended.
    if (absl::IsCancelled(status)) {
      output.Note(FullName(flags.name) + " is left as it is");
      return kInterrupted;
    }
    const auto pause = RetryAfter(status, attempt, 0.75);
    if (!pause) return status;
    if (!lost) on_lost(status);
    lost = true;
    if (!session.client->Wait(*pause)) return kInterrupted;
  }
}

absl::StatusOr<int> ShowMetrics(Session& session, const MetricsFlags& flags) {
  if (flags.metrics.empty() && !flags.csv && !flags.json && !flags.follow)
    return ShowNames(session, flags);
  Output::Options options = session.output.options();
  if (flags.csv || flags.json) options.format = flags.csv ? Format::kCsv : Format::kJson;
  const Output output(options);
  if (flags.follow) return FollowMetrics(session, output, flags);
  const uint32_t points = flags.points > 0 ? flags.points : output.table() ? 30 : 0;
  MENTOR_ASSIGN_OR_RETURN(const auto answer, Query(session.client, flags, points));
  if (!output.table() && output.format() != Format::kCsv) {
    for (const auto& series : answer.series()) output.Document(series, series.metric());
    return kOk;
  }
  std::vector<std::string> columns = flags.metrics;
  std::map<uint32_t, std::map<std::string, double>> rows;
  for (const auto& series : answer.series()) {
    if (flags.metrics.empty()) columns.push_back(series.metric());
    for (int i = 0; i < series.steps_size() && i < series.mean_size(); ++i)
      rows[series.steps(i)][series.metric()] = series.mean(i);
  }
  PointWriter writer(&output, columns);
  for (const auto& [step, row] : rows) writer.Point(step, row);
  return kOk;
}

}  // namespace

void AddMetricsVerbs(Commands* commands) {
  const auto [command, flags] = commands->Add<MetricsFlags>(
      kResultGroup, "metrics", "Show the metrics of an experiment by outer update",
      "mentorctl metrics first                     # their names, meanings and last values\n"
      "mentorctl metrics first shaped_return       # as a table\n"
      "mentorctl metrics first --csv --points 10000 > first.csv\n"
      "mentorctl metrics first seg0 seg2 --from 10 --to 20\n"
      "mentorctl metrics first shaped_return --follow --json",
      ShowMetrics);
  AddName(command, &flags->name);
  AddOption(command, "metrics", &flags->metrics, "METRIC",
            "Names of metrics; 'mentorctl metrics NAME' lists them");
  AddOption(command, "--from", &flags->from, "STEP", "First outer update to show");
  AddOption(command, "--to", &flags->to, "STEP", "Last outer update to show");
  AddOption(command, "--points", &flags->points, "NUMBER",
            "Most points for each metric; neighbours are merged beyond that")
      ->check(CLI::Range(1, 10000));
  CLI::Option* csv =
      command->add_flag("--csv", flags->csv, "Print comma-separated values, as --output csv does");
  command->add_flag("--json", flags->json, "Print JSON, as --output json does")->excludes(csv);
  command->add_flag("--follow", flags->follow,
                    "Print all points so far, then new points until the experiment ends");
}

}  // namespace mentor::ctl
