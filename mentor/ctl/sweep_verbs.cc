// The verbs `sweep` and `table`.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

#include "common/check.h"
#include "common/natural_order.h"
#include "common/resources/states.h"
#include "common/spec/differences.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "mentor/ctl/commands.h"
#include "mentor/ctl/experiment_file.h"
#include "mentor/ctl/experiment_flags.h"
#include "mentor/ctl/sweep.h"
#include "mentor/ctl/values.h"
#include "mentor/report/statistics.h"

namespace mentor::ctl {
namespace {

// ---- sweep

struct SweepFlags {
  std::string spec;
  std::string name;
  std::vector<std::string> grid;
  std::string seeds;
  std::vector<std::string> overrides;
  ExperimentFlags experiment;
  bool dry_run = false;
};

// An experiment of the sweep and its request.
struct Member {
  SweepPoint point;
  v1::CreateExperimentRequest request;
  std::string there;  // Name of the existing experiment with this spec; empty without one.
};

absl::StatusOr<std::vector<Member>> Members(const SweepFlags& flags, const std::string& name) {
  std::vector<GridAxis> axes;
  for (const std::string& text : flags.grid) {
    MENTOR_ASSIGN_OR_RETURN(GridAxis axis, ParseGridAxis(text));
    axes.push_back(std::move(axis));
  }
  std::vector<uint64_t> seeds;
  if (!flags.seeds.empty()) {
    MENTOR_ASSIGN_OR_RETURN(seeds, ParseSeeds(flags.seeds));
  }
  MENTOR_ASSIGN_OR_RETURN(const std::vector<SweepPoint> points,
                          PlanSweep(name, std::move(axes), seeds));
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadInput(flags.spec));
  std::vector<Member> members;
  for (const SweepPoint& point : points) {
    std::vector<std::string> overrides = flags.overrides;
    for (std::string& one : point.Overrides()) overrides.push_back(std::move(one));
    const ExperimentFile file = ParseExperimentFile(flags.spec, text, overrides);
    MENTOR_RETURN_IF_ERROR(ToStatus(file.violations));
    Member& member = members.emplace_back();
    member.point = point;
    member.request.set_experiment_id(point.id);
    v1::Experiment& experiment = *member.request.mutable_experiment();
    experiment = file.experiment;
    MENTOR_RETURN_IF_ERROR(Apply(flags.experiment, absl::Now(), &experiment).status());
    (*experiment.mutable_labels())[kSweepLabel] = name;
  }
  return members;
}

// Marks members that an earlier call created. Compares specs, not names: 0.0001 and 1e-4 give
// different names for the same spec.
absl::Status FindThose(Client* client, const std::string& name, std::vector<Member>* members) {
  Selection selection;
  selection.labels = {absl::StrCat(kSweepLabel, "=", name)};
  MENTOR_ASSIGN_OR_RETURN(const std::string filter, FilterOf(selection));
  v1::ListExperimentsRequest request;
  request.set_filter(filter);
  std::map<std::string, std::string> names;  // Experiment names by spec hash.
  MENTOR_RETURN_IF_ERROR(ListAll(client, request, [&](const v1::ListExperimentsResponse& page) {
    for (const v1::Experiment& experiment : page.experiments()) {
      names.emplace(SpecHash(experiment.spec()), experiment.name());
    }
    return true;
  }));
  for (Member& member : *members) {
    const auto found = names.find(SpecHash(member.request.experiment().spec()));
    if (found != names.end()) member.there = found->second;
  }
  return absl::OkStatus();
}

int Sweep(Session& session, const SweepFlags& flags) {
  const Output& output = session.output;
  std::string name = flags.name;
  if (name.empty() && flags.spec != "-") name = std::filesystem::path(flags.spec).stem().string();
  if (name.empty()) {
    return output.Fail(absl::InvalidArgumentError(
        "--name: is missing; the standard input does not name the sweep"));
  }
  auto members = Members(flags, name);
  if (!members.ok()) return output.Fail(members.status());
  if (const absl::Status status = FindThose(session.client, name, &*members); !status.ok()) {
    return output.Fail(status);
  }
  // Validate all members before any is created.
  for (const Member& member : *members) {
    if (!member.there.empty()) continue;
    v1::CreateExperimentRequest check = member.request;
    check.set_validate_only(true);
    const auto answer = session.client->Call(&Stub::CreateExperiment, check);
    if (!answer.ok()) {
      output.Note("with " + absl::StrJoin(member.point.Overrides(), " ") + ":");
      return output.Fail(answer.status(), absl::IsAlreadyExists(answer.status())
                                              ? "another experiment has this name: give the sweep "
                                                "another --name"
                                              : "");
    }
  }

  Row header = {"NAME", "NOW"};
  if (!members->empty()) {
    for (const auto& [path, value] : members->front().point.settings) header.emplace_back(path);
    if (members->front().point.has_seed) header.emplace_back("seed");
  }
  Listing listing(&output, header);
  size_t created = 0;
  absl::Status failed;
  for (Member& member : *members) {
    v1::Experiment experiment = member.request.experiment();
    std::string now = "is there";
    if (!member.there.empty()) {
      experiment.set_name(member.there);
    } else if (flags.dry_run) {
      experiment.set_name(FullName(member.point.id));
      now = "would be created";
    } else {
      member.request.set_request_id(NewUuid());
      auto answer = session.client->Call(&Stub::CreateExperiment, member.request);
      if (!answer.ok()) {
        failed = answer.status();
        break;
      }
      experiment = *std::move(answer);
      now = "created";
      ++created;
    }
    Row row = {ShortName(experiment.name()), now};
    for (const auto& [path, value] : member.point.settings) row.emplace_back(value);
    if (member.point.has_seed) row.emplace_back(absl::StrCat(member.point.seed));
    listing.Add(experiment, experiment.name(), row);
  }
  listing.End();
  std::fflush(stdout);
  if (!failed.ok()) {
    return output.Fail(failed, absl::StrFormat("%d of %d are created; the same command continues",
                                               created, members->size()));
  }
  if (!flags.dry_run) {
    output.Note(
        absl::StrFormat("%d of %d created; 'mentorctl table --label %s=%s --metric "
                        "meta_return' compares them",
                        created, members->size(), kSweepLabel, name));
  }
  return kOk;
}

// ---- table

struct TableFlags {
  Selection selection;
  std::vector<std::string> metrics;
  uint32_t last = 1;
  bool unfinished = false;
};

struct Run {
  v1::Experiment experiment;
  std::map<std::string, std::string> spec;
  std::map<std::string, double> values;  // By metric.
  uint32_t updates = 0;                  // Number of updates averaged in `values`.
};

// Runs of one setting, which differ only in their meta-seed (seed, benchmark.goal_seed).
struct Setting {
  std::vector<std::string> values;  // Values of the paths in which settings differ.
  std::vector<const Run*> runs;
};

bool Counts(const v1::Experiment& experiment, bool unfinished) {
  return experiment.state() == v1::Experiment::STATE_SUCCEEDED ||
         (unfinished && experiment.progress().outer_updates() > 0);
}

// Fills in the means over the last outer updates of one experiment.
absl::Status Fill(Client* client, const TableFlags& flags, Run* run) {
  const uint32_t updates = run->experiment.progress().outer_updates();
  v1::QueryMetricsRequest request;
  request.set_name(run->experiment.name());
  for (const std::string& metric : flags.metrics) request.add_metrics(metric);
  request.set_step_min(updates >= flags.last ? updates - flags.last + 1 : 1);
  request.set_max_points(1);
  MENTOR_ASSIGN_OR_RETURN(const v1::QueryMetricsResponse answer,
                          client->Call(&Stub::QueryMetrics, request));
  for (const v1::MetricSeries& series : answer.series()) {
    if (series.mean_size() == 0) continue;
    run->values[series.metric()] = series.mean(0);
    uint32_t updates = 0;
    for (const uint32_t count : series.count()) updates += count;
    run->updates = std::max(run->updates, updates);
  }
  return absl::OkStatus();
}

// Returns "the last 10 outer updates"; mentions runs with fewer updates.
std::string UpdatesText(const std::vector<Run>& runs, uint32_t last) {
  uint32_t least = last, most = 0;
  for (const Run& run : runs) {
    least = std::min(least, run.updates);
    most = std::max(most, run.updates);
  }
  if (last == 1) return "the last outer update";
  if (least == last) return absl::StrFormat("the last %d outer updates", last);
  if (least == most) {
    return absl::StrFormat("%d outer update%s, all that there are", most, most == 1 ? "" : "s");
  }
  return absl::StrFormat("the last %d outer updates; some runs have only %d", last, least);
}

std::optional<report::Interval> IntervalOf(const Setting& setting, const std::string& metric) {
  std::vector<double> values;
  for (const Run* run : setting.runs) {
    const auto value = run->values.find(metric);
    if (value != run->values.end()) values.push_back(value->second);
  }
  if (values.empty()) return std::nullopt;
  return report::BootstrapMeanOfSeeds(values, report::BootstrapStream());
}

// Shortens "rule.learning_rate" to "learning_rate" where no other path has that ending.
std::vector<std::string> ShortPaths(const std::vector<std::string>& paths) {
  std::map<std::string, int> uses;
  const auto last = [](const std::string& path) { return path.substr(path.rfind('.') + 1); };
  for (const std::string& path : paths) ++uses[last(path)];
  std::vector<std::string> names;
  for (const std::string& path : paths) {
    names.push_back(uses[last(path)] == 1 ? last(path) : path);
  }
  return names;
}

std::vector<Setting> Settled(const std::vector<Run>& runs, const std::vector<std::string>& paths) {
  std::map<std::vector<std::string>, Setting> by_values;
  for (const Run& run : runs) {
    std::vector<std::string> values;
    for (const std::string& path : paths) {
      const auto value = run.spec.find(path);
      values.push_back(value == run.spec.end() ? "default" : value->second);
    }
    Setting& setting = by_values[values];
    setting.values = values;
    setting.runs.push_back(&run);
  }
  std::vector<Setting> settings;
  for (auto& [values, setting] : by_values) settings.push_back(std::move(setting));
  const auto before = [](const Setting& a, const Setting& b) {
    for (size_t i = 0; i < a.values.size(); ++i) {
      double left = 0, right = 0;
      const bool numbers =
          absl::SimpleAtod(a.values[i], &left) && absl::SimpleAtod(b.values[i], &right);
      if (numbers && left != right) return left < right;
      if (!numbers && a.values[i] != b.values[i]) return NaturalLess(a.values[i], b.values[i]);
    }
    return false;
  };
  std::stable_sort(settings.begin(), settings.end(), before);
  return settings;
}

nlohmann::ordered_json SettingJson(const Setting& setting, const std::vector<std::string>& paths,
                                   const std::vector<std::string>& metrics) {
  nlohmann::ordered_json json = {{"settings", nlohmann::ordered_json::object()},
                                 {"experiments", nlohmann::ordered_json::array()},
                                 {"metrics", nlohmann::ordered_json::object()}};
  for (size_t i = 0; i < paths.size(); ++i) json["settings"][paths[i]] = setting.values[i];
  for (const Run* run : setting.runs) json["experiments"].push_back(run->experiment.name());
  for (const std::string& metric : metrics) {
    const auto interval = IntervalOf(setting, metric);
    if (!interval) continue;
    nlohmann::ordered_json values = nlohmann::ordered_json::object();
    for (const Run* run : setting.runs) {
      const auto value = run->values.find(metric);
      if (value != run->values.end()) values[run->experiment.name()] = value->second;
    }
    json["metrics"][metric] = {{"mean", interval->mean},
                               {"low", interval->low},
                               {"high", interval->high},
                               {"values", values}};
  }
  return json;
}

void PrintSettings(const Output& output, const std::vector<Setting>& settings,
                   const std::vector<std::string>& paths, const TableFlags& flags) {
  const bool csv = output.format() == Format::kCsv;
  std::vector<Row> rows(1);
  for (const std::string& title : csv ? paths : ShortPaths(paths)) rows[0].emplace_back(title);
  rows[0].emplace_back(csv ? "runs" : "RUNS");
  for (const std::string& metric : flags.metrics) {
    rows[0].emplace_back(metric);
    if (csv) rows[0].emplace_back(metric + " low"), rows[0].emplace_back(metric + " high");
  }
  for (const Setting& setting : settings) {
    if (output.format() == Format::kName) {
      for (const Run* run : setting.runs) {
        std::printf("%s\n", Printable(run->experiment.name()).c_str());
      }
      continue;
    }
    if (!output.table() && !csv) {
      const std::string json = PrintableJson(
          SettingJson(setting, paths, flags.metrics)
              .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
      std::printf("%s",
                  output.json() ? (json + "\n").c_str() : ("---\n" + JsonToYaml(json)).c_str());
      continue;
    }
    Row row;
    for (const std::string& value : setting.values) row.emplace_back(value);
    row.emplace_back(absl::StrCat(setting.runs.size()));
    for (const std::string& metric : flags.metrics) {
      const auto interval = IntervalOf(setting, metric);
      if (csv) {
        for (const double value : {interval ? interval->mean : NAN, interval ? interval->low : NAN,
                                   interval ? interval->high : NAN}) {
          row.emplace_back(std::isnan(value) ? "" : Number(value));
        }
      } else if (!interval) {
        row.emplace_back("-");
      } else if (setting.runs.size() == 1) {
        row.emplace_back(absl::StrFormat("%.4g", interval->mean));
      } else {
        row.emplace_back(
            absl::StrFormat("%.4g [%.4g, %.4g]", interval->mean, interval->low, interval->high));
      }
    }
    rows.push_back(std::move(row));
  }
  if (output.table() || csv) output.Table(rows);
}

int ShowTable(Session& session, const TableFlags& flags) {
  const Output& output = session.output;
  const auto filter = FilterOf(flags.selection);
  if (!filter.ok()) return output.Fail(filter.status());
  if (filter->empty()) {
    return output.Fail(absl::InvalidArgumentError(
        "--label: is missing; name the experiments to compare with --label, --filter or --state, "
        "for instance --label sweep=NAME"));
  }
  v1::ListExperimentsRequest list;
  list.set_filter(*filter);
  std::vector<Run> runs;
  size_t left_out = 0;
  absl::Status status = ListAll(session.client, list, [&](const v1::ListExperimentsResponse& page) {
    for (const v1::Experiment& experiment : page.experiments()) {
      if (Counts(experiment, flags.unfinished)) {
        runs.push_back({.experiment = experiment,
                        .spec = FlatSpec(WithDefaults(experiment.spec())),
                        .values = {}});
      } else {
        ++left_out;
      }
    }
    return runs.size() <= kSweepMax;
  });
  if (!status.ok()) return output.Fail(status);
  if (runs.size() > kSweepMax) {
    return output.Fail(absl::InvalidArgumentError(absl::StrFormat(
        "more than %d experiments are selected; narrow --label or --filter", kSweepMax)));
  }
  if (runs.empty()) {
    return output.Fail(left_out > 0 ? absl::FailedPreconditionError(absl::StrFormat(
                                          "none of the %d experiments has succeeded yet; "
                                          "--unfinished uses their last values so far",
                                          left_out))
                                    : MakeError(absl::StatusCode::kNotFound, Reason::kNotFound,
                                                "there is no experiment with " + *filter),
                       left_out > 0 ? "" : "'mentorctl list' shows what there is");
  }
  for (Run& run : runs) {
    status = Fill(session.client, flags, &run);
    if (!status.ok()) {
      return output.Fail(status, "'mentorctl metrics " + ShortName(run.experiment.name()) +
                                     "' lists the metrics of one of them");
    }
  }
  for (const std::string& metric : flags.metrics) {
    const bool any = std::any_of(runs.begin(), runs.end(),
                                 [&](const Run& run) { return run.values.contains(metric); });
    if (any) continue;
    return output.Fail(MakeError(absl::StatusCode::kNotFound, Reason::kNotFound,
                                 "none of these experiments has values of '" + metric +
                                     "' in its last outer updates"),
                       "'mentorctl metrics " + ShortName(runs[0].experiment.name()) +
                           "' lists the metrics of one of them");
  }
  std::vector<std::map<std::string, std::string>> specs;
  for (const Run& run : runs) specs.push_back(run.spec);
  const std::vector<std::string> paths = DifferingPaths(specs);
  PrintSettings(output, Settled(runs, paths), paths, flags);
  std::fflush(stdout);
  if (output.table()) {
    output.Note("mean [95 % bootstrap interval] over runs, of " + UpdatesText(runs, flags.last));
  }
  if (left_out > 0) {
    output.Note(absl::StrCat(
        left_out,
        left_out == 1
            ? " experiment that has not succeeded is left out; --unfinished uses its last values"
            : " experiments that have not succeeded are left out; --unfinished uses their last "
              "values"));
  }
  return kOk;
}

}  // namespace

void AddSweepVerbs(Commands* commands) {
  {
    const auto flags = std::make_shared<SweepFlags>();
    CLI::App* command = commands->Add(
        kExperimentGroup, "sweep",
        "Submit an experiment for each combination of settings and seeds",
        "mentorctl sweep point_reach --grid rule.learning_rate=1e-4,3e-4 --seeds 1-5\n"
        "mentorctl sweep spec.txtpb --name gamma --grid agent.gamma=0.9,0.99 --grid "
        "agent.epochs=4,16 --seeds 1-3 --dry_run\n"
        "mentorctl sweep spec.txtpb --grid 'evaluation.baseline=PPO_SPARSE;PPO_SPARSE,PPO_SHAPED'\n"
        "mentorctl wait $(mentorctl list --label sweep=gamma --output name)",
        [=](Session& session) { return Sweep(session, *flags); });
    command
        ->add_option(
            "spec", flags->spec,
            "Spec or experiment in protobuf text format, or the name of a spec that comes with "
            "Mentor; - reads the standard input")
        ->type_name("SPEC:FILE")
        ->required();
    Repeatable(command->add_option(
                   "--grid", flags->grid,
                   "A field of the spec and its values; repeat it for every combination. Values "
                   "that contain commas are separated by semicolons"))
        ->type_name("PATH=VALUE,VALUE");
    command
        ->add_option("--seeds", flags->seeds, "Seeds for each setting, for instance 1-5 or 1,2,7")
        ->type_name("SEEDS");
    Repeatable(command->add_option("--set", flags->overrides,
                                   "Override a field in all experiments; may be repeated"))
        ->type_name("PATH=VALUE");
    command
        ->add_option("--name", flags->name,
                     "Name of the sweep, and of its label 'sweep'; default: the file's name. A "
                     "repeated sweep creates only what is missing")
        ->type_name("NAME");
    AddExperimentFlags(command, &flags->experiment, /*update=*/false);
    command->add_flag("--dry_run", flags->dry_run, "Check everything, create nothing");
  }
  {
    const auto flags = std::make_shared<TableFlags>();
    CLI::App* command = commands->Add(
        kResultGroup, "table", "Compare experiments by setting: means and intervals over seeds",
        "mentorctl table --label sweep=gamma --metric meta_return\n"
        "mentorctl table --label sweep=gamma --metric seg0 --metric seg2 --last 10\n"
        "mentorctl table --label sweep=gamma --metric meta_return --output csv > gamma.csv",
        [=](Session& session) { return ShowTable(session, *flags); });
    AddSelection(command, &flags->selection);
    Repeatable(command->add_option("--metric", flags->metrics,
                                   "Metric to compare; may be repeated. 'mentorctl metrics NAME' "
                                   "lists them"))
        ->type_name("METRIC")
        ->required();
    command
        ->add_option("--last", flags->last, "Take the mean over this number of last outer updates")
        ->type_name("NUMBER")
        ->check(CLI::Range(1, 1000000))
        ->capture_default_str();
    command->add_flag("--unfinished", flags->unfinished,
                      "Include the last values of experiments that have not succeeded");
  }
}

}  // namespace mentor::ctl
