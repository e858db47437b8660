// The verbs `metrics`, `plot` and `export tensorboard`.
#include <filesystem>
#include <map>
#include <set>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/event_file.h"
#include "common/file.h"
#include "common/spec/spec_event.h"
#include "common/status.h"
#include "common/temporary_folder.h"
#include "mentor/ctl/commands.h"
#include "mentor/ctl/experiment_flags.h"
#include "mentor/ctl/experiment_watch.h"
#include "mentor/ctl/plot_script.h"
#include "mentor/ctl/values.h"
#include "mentor/report/gnuplot.h"

namespace mentor::ctl {
namespace {

constexpr uint32_t kPointsMax = 10'000;  // Per metric in one response.
constexpr int kMetricsAtOnce = 1000;     // Per response; fewer when the response grows too long.
constexpr int kColumnsMax = 80;

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

absl::StatusOr<v1::QueryMetricsResponse> Query(Client* client, const MetricsFlags& flags,
                                               uint32_t points) {
  v1::QueryMetricsRequest request;
  request.set_name(FullName(flags.name));
  for (const std::string& metric : flags.metrics) request.add_metrics(metric);
  request.set_step_min(flags.from);
  request.set_step_max(flags.to);
  request.set_max_points(points);
  request.set_page_size(kMetricsAtOnce);
  return client->CallForAll(&Stub::QueryMetrics, request);
}

absl::StatusOr<v1::ListMetricsResponse> Describe(Client* client, const std::string& name) {
  v1::ListMetricsRequest request;
  request.set_name(FullName(name));
  return client->Call(&Stub::ListMetrics, request);
}

// Refuses known metrics without points in the range, which would be empty columns: their points are
// earlier or later. The server refuses unknown names.
absl::Status CheckKnown(const MetricsFlags& flags, const v1::QueryMetricsResponse& answer) {
  std::set<std::string> known;
  for (const auto& series : answer.series()) known.insert(series.metric());
  for (const std::string& metric : flags.metrics) {
    if (known.contains(metric)) continue;
    return MakeError(
        absl::StatusCode::kNotFound, Reason::kNotFound,
        FullName(flags.name) + " has no values of '" + metric + "' in these outer updates");
  }
  return absl::OkStatus();
}

std::string ListsThem(const MetricsFlags& flags) {
  return "'mentorctl metrics " + ShortName(flags.name) + "' lists those that have values";
}

// Returns the metrics' values by step.
std::map<uint32_t, std::map<std::string, double>> Pivot(const v1::QueryMetricsResponse& answer) {
  std::map<uint32_t, std::map<std::string, double>> rows;
  for (const auto& series : answer.series()) {
    for (int i = 0; i < series.steps_size() && i < series.mean_size(); ++i) {
      rows[series.steps(i)][series.metric()] = series.mean(i);
    }
  }
  return rows;
}

class PointWriter {
 public:
  PointWriter(const Output* output, const MetricsFlags& flags, std::vector<std::string> metrics)
      : output_(output), flags_(flags), metrics_(std::move(metrics)) {}

  // For streamed lines: columns are as wide as their titles, and at least eleven characters.
  void Header() {
    if (flags_.csv) {
      std::vector<std::string> titles = {"step"};
      for (const std::string& metric : metrics_) titles.push_back(Printable(metric));
      std::printf("%s\n", CsvLine(titles).c_str());
    } else if (output_->table() && !flags_.json) {
      std::string line = absl::StrFormat("%8s", "STEP");
      for (const std::string& metric : metrics_) absl::StrAppendFormat(&line, "  %11s", metric);
      std::printf("%s\n", Printable(line).c_str());
    }
  }

  void Point(uint32_t step, const std::map<std::string, double>& values) {
    if (!flags_.csv && (flags_.json || !output_->table())) {
      v1::WatchMetricsResponse message;
      message.set_step(step);
      for (const auto& [metric, value] : values) (*message.mutable_values())[metric] = value;
      if (flags_.json) {
        std::printf("%s\n", ToJson(message).c_str());
      } else {
        if (output_->format() == Format::kYaml) std::printf("---\n");
        output_->Object(message, absl::StrCat(step), {});
      }
    } else {
      std::string line = flags_.csv ? absl::StrCat(step) : absl::StrFormat("%8d", step);
      for (const std::string& metric : metrics_) {
        const auto value = values.find(metric);
        const bool there = value != values.end();
        if (flags_.csv) {
          absl::StrAppend(&line, ",", there ? Number(value->second) : "");
        } else {
          const std::string text = there ? absl::StrFormat("%.5g", value->second) : "-";
          absl::StrAppendFormat(&line, "  %*s", std::max<int>(11, static_cast<int>(metric.size())),
                                text);
        }
      }
      std::printf("%s\n", Printable(line).c_str());
    }
    std::fflush(stdout);
  }

 private:
  const Output* const output_;
  const MetricsFlags& flags_;
  const std::vector<std::string> metrics_;
};

int ShowNames(Session& session, const MetricsFlags& flags) {
  const auto answer = Describe(session.client, flags.name);
  if (!answer.ok()) return session.output.Fail(answer.status());
  Listing listing(&session.output, {"METRIC", "UNIT", "LAST", "STEP", "HELP"});
  for (const auto& metric : answer->descriptors()) {
    listing.Add(metric, metric.name(),
                {metric.name(), metric.unit(), absl::StrFormat("%.5g", metric.last()),
                 absl::StrCat(metric.last_step()), metric.help()});
  }
  listing.End();
  return kOk;
}

// Prints points as they arrive, across broken connections: each new stream begins after the last
// point.
int FollowMetrics(Session& session, const MetricsFlags& flags, std::vector<std::string> metrics) {
  PointWriter writer(&session.output, flags, std::move(metrics));
  writer.Header();
  v1::WatchMetricsRequest request;
  request.set_name(FullName(flags.name));
  for (const std::string& metric : flags.metrics) request.add_metrics(metric);
  if (flags.from > 0) request.set_after_step(flags.from - 1);
  const auto on_lost = NoteLost(&session.output);
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
      session.output.Note(FullName(flags.name) + " is left as it is");
      return kInterrupted;
    }
    const auto pause = RetryAfter(status, attempt, 0.75);
    if (!pause) return session.output.Fail(status);
    if (!lost) on_lost(status);
    lost = true;
    if (!session.client->Wait(*pause)) return kInterrupted;
  }
}

int ShowMetrics(Session& session, MetricsFlags flags) {
  const Output& output = session.output;
  if (output.format() == Format::kCsv && (!flags.metrics.empty() || flags.follow)) flags.csv = true;
  const bool values = !flags.metrics.empty() || flags.csv || flags.json || flags.follow;
  if (!values) return ShowNames(session, flags);
  const bool for_people = output.table() && !flags.csv && !flags.json;
  if (flags.follow) {
    std::vector<std::string> columns = flags.metrics;
    if (columns.empty()) {
      const auto known = Describe(session.client, flags.name);
      if (!known.ok()) return output.Fail(known.status());
      for (const auto& metric : known->descriptors()) columns.push_back(metric.name());
      if (columns.empty() && (for_people || flags.csv)) {
        return output.Fail(absl::FailedPreconditionError(
            "there are no metrics yet, so the columns are not known: name the metrics"));
      }
    }
    return FollowMetrics(session, flags, columns);
  }
  const uint32_t points = flags.points > 0 ? flags.points : for_people ? 30 : 0;
  const auto answer = Query(session.client, flags, points);
  if (!answer.ok()) return output.Fail(answer.status());
  if (const absl::Status status = CheckKnown(flags, *answer); !status.ok()) {
    return output.Fail(status, ListsThem(flags));
  }
  if (!for_people && !flags.csv) {
    for (const auto& series : answer->series()) {
      if (flags.json) {
        std::printf("%s\n", ToJson(series).c_str());
      } else {
        if (output.format() == Format::kYaml) std::printf("---\n");
        output.Object(series, series.metric(), {});
      }
    }
    return kOk;
  }
  std::vector<std::string> columns = flags.metrics;
  if (columns.empty()) {
    for (const auto& series : answer->series()) columns.push_back(series.metric());
  }
  PointWriter writer(&output, flags, columns);
  writer.Header();
  for (const auto& [step, row] : Pivot(*answer)) writer.Point(step, row);
  return kOk;
}

// ---- plot

struct PlotFlags {
  MetricsFlags query;
  std::string out;
  int width = 0;
  int height = 0;
};

absl::StatusOr<Terminal> TerminalOf(const PlotFlags& flags, const Output& output) {
  const std::string ending = std::filesystem::path(flags.out).extension().string();
  Terminal terminal;
  if (flags.out.empty()) {
    terminal.kind = Terminal::Kind::kText;
    winsize size = {};
    const bool sized = isatty(STDOUT_FILENO) == 1 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
                       size.ws_row > 10;
    terminal.width = output.options().columns > 0 ? output.options().columns : kColumnsMax;
    terminal.height = sized ? std::min<int>(size.ws_row - 2, 30) : 24;
  } else if (ending == ".svg" || ending == ".png") {
    terminal.kind = ending == ".svg" ? Terminal::Kind::kSvg : Terminal::Kind::kPng;
    terminal.width = 800;
    terminal.height = 360;  // For each metric.
  } else {
    return absl::InvalidArgumentError("--out '" + flags.out +
                                      "': give a name that ends in .svg or "
                                      ".png");
  }
  if (flags.width > 0) terminal.width = flags.width;
  if (flags.height > 0) terminal.height = flags.height;
  return terminal;
}

// Chooses series to plot when the user named none: success and the return that is maximised, else
// the first families. A large family contributes evenly spaced members, from its first to its last.
v1::QueryMetricsResponse Sensible(const v1::QueryMetricsResponse& all) {
  constexpr size_t kFamilies = 2, kMembers = 6;
  std::vector<std::string> order;
  std::map<std::string, std::vector<int>> families;
  for (int i = 0; i < all.series_size(); ++i) {
    const std::string family = FamilyOf(all.series(i).metric());
    if (!families.contains(family)) order.push_back(family);
    families[family].push_back(i);
  }
  std::vector<std::string> chosen;
  for (const char* often : {"seg*", "success", "meta_return", "shaped_return"}) {
    if (families.contains(often) && chosen.size() < kFamilies) chosen.emplace_back(often);
  }
  if (chosen.empty()) {
    chosen.assign(order.begin(),
                  order.begin() + static_cast<std::ptrdiff_t>(std::min(order.size(), kFamilies)));
  }
  v1::QueryMetricsResponse some;
  for (const std::string& family : chosen) {
    const std::vector<int>& members = families[family];
    const size_t shown = std::min(members.size(), kMembers);
    for (size_t k = 0; k < shown; ++k) {
      const size_t at = shown == 1 ? 0 : k * (members.size() - 1) / (shown - 1);
      *some.add_series() = all.series(members[at]);
    }
  }
  return some;
}

int Plot(Session& session, const PlotFlags& flags) {
  const Output& output = session.output;
  const auto terminal = TerminalOf(flags, output);
  if (!terminal.ok()) return output.Fail(terminal.status());
  auto answer =
      Query(session.client, flags.query, flags.query.points > 0 ? flags.query.points : 1000);
  if (!answer.ok()) return output.Fail(answer.status());
  absl::Status status = CheckKnown(flags.query, *answer);
  if (!status.ok()) return output.Fail(status, ListsThem(flags.query));
  if (answer->series().empty()) {
    status = absl::FailedPreconditionError("there are no metrics of " + FullName(flags.query.name) +
                                           " yet");
  }
  if (!status.ok()) return output.Fail(status);
  if (const int all = answer->series_size(); flags.query.metrics.empty()) {
    *answer = Sensible(*answer);
    if (answer->series_size() < all) {
      output.Note(absl::StrFormat("%d of %d metrics; 'mentorctl metrics %s' lists those to name",
                                  answer->series_size(), all, ShortName(flags.query.name)));
    }
  }
  const auto scratch = TemporaryFolder::Create("mentorctl");
  if (!scratch.ok()) return output.Fail(scratch.status());
  // Draw into a scratch file, so that a half-drawn picture is never visible.
  const std::string picture = "picture";
  status =
      WriteFileAtomically(scratch->path() / "plot.gp",
                          PlotScript(*answer, ShortName(flags.query.name), *terminal, picture));
  if (status.ok()) status = RunGnuplot("gnuplot", scratch->path(), "plot.gp");
  if (!status.ok()) {
    return output.Fail(status, absl::IsFailedPrecondition(status)
                                   ? "'mentorctl metrics --csv' has the numbers"
                                   : "");
  }
  const auto bytes = ReadFile(scratch->path() / picture, 64 << 20);
  if (!bytes.ok()) return output.Fail(bytes.status());
  if (flags.out.empty()) {
    std::fwrite(bytes->data(), 1, bytes->size(), stdout);
    return kOk;
  }
  status = WriteFileAtomically(flags.out, *bytes, 0644);
  if (!status.ok()) return output.Fail(status);
  output.Note(flags.out + " written");
  return kOk;
}

// ---- export tensorboard

// Exports every point of every metric. The step windows are small enough that the server merges no
// points.
int ExportTensorboard(Session& session, const std::string& name, const std::string& folder) {
  const Output& output = session.output;
  v1::GetExperimentRequest get;
  get.set_name(FullName(name));
  const auto experiment = session.client->Call(&Stub::GetExperiment, get);
  if (!experiment.ok()) return output.Fail(experiment.status());
  const auto known = Describe(session.client, name);
  if (!known.ok()) return output.Fail(known.status());
  uint32_t last_step = 0;
  for (const auto& metric : known->descriptors()) {
    last_step = std::max(last_step, metric.last_step());
  }
  // Points carry no time; all get the start time of the experiment.
  const double time =
      absl::ToDoubleSeconds(FromProto(experiment->has_start_time() ? experiment->start_time()
                                                                   : experiment->create_time()) -
                            absl::UnixEpoch());
  std::string file =
      EventFileHeader(time) +
      SpecEvent(time, {.uid = experiment->uid(), .began_s = time, .spec = experiment->spec()});
  size_t points = 0;
  for (uint64_t from = 0; from <= last_step; from += kPointsMax) {
    MetricsFlags window;
    window.name = name;
    window.from = static_cast<uint32_t>(from);
    // The value 0 would mean no limit, so step 0 shares a window with later steps.
    window.to = static_cast<uint32_t>(std::min<uint64_t>(from + kPointsMax - 1, UINT32_MAX));
    const auto answer = Query(session.client, window, kPointsMax);
    if (!answer.ok()) return output.Fail(answer.status());
    for (const auto& [step, values] : Pivot(*answer)) {
      std::vector<Scalar> scalars;
      for (const auto& [metric, value] : values) scalars.push_back({GroupedTag(metric), value});
      points += scalars.size();
      file += ScalarEvent(time, step, scalars);
    }
  }
  if (points == 0) {
    return output.Fail(
        absl::FailedPreconditionError("there are no metrics of " + FullName(name) + " yet"));
  }
  const std::filesystem::path path =
      std::filesystem::path(folder) /
      absl::StrFormat("events.out.tfevents.%010d.%s", static_cast<int64_t>(time), LastPart(name));
  absl::Status status = MakeFolders(folder, 0755);
  if (status.ok()) status = WriteFileAtomically(path, file, 0644);
  if (!status.ok()) return output.Fail(status);
  output.Note(absl::StrFormat("%s: %d points of %d metrics", path.string(), points,
                              known->descriptors_size()));
  return kOk;
}

void AddQueryFlags(CLI::App* command, MetricsFlags* flags) {
  AddName(command, &flags->name);
  command
      ->add_option("metrics", flags->metrics,
                   "Names of metrics; 'mentorctl metrics NAME' lists them")
      ->type_name("METRIC");
  command->add_option("--from", flags->from, "First outer update to show")->type_name("STEP");
  command->add_option("--to", flags->to, "Last outer update to show")->type_name("STEP");
  command
      ->add_option("--points", flags->points,
                   "Most points for each metric; neighbours are merged beyond that")
      ->type_name("NUMBER")
      ->check(CLI::Range(1, 10000));
}

}  // namespace

void AddMetricsVerbs(Commands* commands) {
  {
    const auto flags = std::make_shared<MetricsFlags>();
    CLI::App* command = commands->Add(
        kResultGroup, "metrics", "Show the metrics of an experiment by outer update",
        "mentorctl metrics first                     # their names, meanings and last values\n"
        "mentorctl metrics first shaped_return       # as a table\n"
        "mentorctl metrics first --csv --points 10000 > first.csv\n"
        "mentorctl metrics first shaped_return --follow --json",
        [=](Session& session) { return ShowMetrics(session, *flags); });
    AddQueryFlags(command, flags.get());
    CLI::Option* csv = command->add_flag("--csv", flags->csv,
                                         "Print comma-separated values, as --output csv does");
    command->add_flag("--json", flags->json, "Print JSON, as --output json does")->excludes(csv);
    command->add_flag("--follow", flags->follow,
                      "Print all points so far, then new points until the experiment ends");
  }
  {
    const auto flags = std::make_shared<PlotFlags>();
    CLI::App* command =
        commands->Add(kResultGroup, "plot", "Draw metrics in the terminal or into a file",
                      "mentorctl plot first                        # success and return\n"
                      "mentorctl plot first shaped_return meta_return --out first.svg\n"
                      "mentorctl plot first $(mentorctl metrics first -o name) --out all.png",
                      [=](Session& session) { return Plot(session, *flags); });
    AddQueryFlags(command, &flags->query);
    command
        ->add_option("--out", flags->out,
                     "Draw into this file, .svg or .png; default: as text in the terminal")
        ->type_name("FILE");
    command->add_option("--width", flags->width, "Width in characters, or in pixels")
        ->type_name("NUMBER")
        ->check(CLI::Range(20, 10000));
    command->add_option("--height", flags->height, "Height of each plot in lines, or in pixels")
        ->type_name("NUMBER")
        ->check(CLI::Range(8, 10000));
  }
  {
    CLI::App* noun = commands->AddNoun(kResultGroup, "export", "Export results for other programs",
                                       "mentorctl export tensorboard first --out runs/first");
    const auto name = std::make_shared<std::string>();
    const auto out = std::make_shared<std::string>();
    CLI::App* command = commands->AddUnder(
        noun, "tensorboard", "Write all metrics as a TensorBoard event file",
        "mentorctl export tensorboard first --out runs/first   # then: tensorboard --logdir runs",
        [=](Session& session) { return ExportTensorboard(session, *name, *out); }, false);
    AddName(command, name.get());
    command->add_option("--out", *out, "Folder for the file; it is made if missing")
        ->type_name("DIR")
        ->required();
  }
}

}  // namespace mentor::ctl
