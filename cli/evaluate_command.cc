#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "cli/commands.h"
#include "cli/ctl/commands.h"
#include "cli/env_subject.h"
#include "cli/local/evaluate.h"
#include "cli/local/run_report.h"
#include "cli/machine.h"
#include "cli/report/records.h"
#include "cli/report/report_program.h"
#include "cli/signal_names.h"
#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/process/command_line.h"
#include "common/process/flags.h"
#include "common/progress_bar.h"
#include "envs/host/host_list.h"
#include "meta_learner/experiment/trained_episodes.h"

namespace mentor {
namespace {

struct ReportFlags {
  std::vector<std::string> runs;
  std::vector<std::string> labels = {};  // RUN=NAME
  std::string out;
  std::string unit = "auto";
  std::string title = {};
  int last_episodes = 0;  // 0: as many as the report counts by itself.
  bool svg = false, png = false;
  std::string published = {}, published_rows = {}, published_name = "published";
};

// What the program of reports takes, besides runs and their records.
std::vector<std::string> ArgumentsOf(const ReportFlags& flags) {
  std::vector<std::string> arguments = {"--unit=" + flags.unit, "--title=" + flags.title};
  for (const std::string& label : flags.labels) arguments.push_back("--label=" + label);
  if (!flags.out.empty()) arguments.push_back("--out=" + flags.out);
  if (flags.last_episodes > 0)
    arguments.push_back(absl::StrCat("--last_episodes=", flags.last_episodes));
  if (!flags.published.empty()) {
    arguments.insert(arguments.end(),
                     {"--published=" + flags.published, "--published_rows=" + flags.published_rows,
                      "--published_name=" + flags.published_name});
  }
  for (const auto& [wanted, flag] : {std::pair(flags.svg, "--svg"), std::pair(flags.png, "--png")})
    if (wanted) arguments.emplace_back(flag);
  return arguments;
}

// Writes the records of all runs, and draws reports from them. Returns the exit status.
absl::StatusOr<int> WriteReports(const ReportFlags& flags) {
  std::vector<std::string> arguments = ArgumentsOf(flags);
  ProgressBar bar;
  const int runs = static_cast<int>(flags.runs.size());
  const std::filesystem::path out = flags.out.empty() && runs > 1 ? "comparison" : flags.out;
  for (int i = 0; i < runs; ++i) {
    if (runs > 1) bar.Show("reading runs", i, runs, "runs");
    // A folder that cannot be written leaves its records with the report.
    const std::filesystem::path otherwise =
        out.empty() ? out : out / report::kRecordsFolder / absl::StrCat(i);
    MENTOR_ASSIGN_OR_RETURN(const std::filesystem::path records,
                            WriteRecordsOf(flags.runs[i], otherwise));
    arguments.push_back(absl::StrCat("--records=", flags.runs[i], "=", records.string()));
  }
  if (runs > 1) bar.Show("reading runs", runs, runs, "runs");
  bar.Finish();
  arguments.emplace_back("--");
  arguments.insert(arguments.end(), flags.runs.begin(), flags.runs.end());
  return report::RunReportProgram(arguments);
}

// Returns the folders without comparisons, which `mentor report runs/*/` also matches.
std::vector<std::string> RunsAmong(const std::vector<std::string>& folders) {
  std::vector<std::string> runs;
  for (const std::string& folder : folders) {
    std::error_code error;
    if (folders.size() > 1 && absl::IsNotFound(FindRun(folder).status()) &&
        std::filesystem::exists(std::filesystem::path(folder) / "comparison.html", error)) {
      std::fprintf(stderr, "note: %s is a comparison, not a run: left out\n", folder.c_str());
      continue;
    }
    runs.push_back(folder);
  }
  return runs;
}

int RunReport(ReportFlags& flags) {
  flags.runs = RunsAmong(flags.runs);
  const auto code = WriteReports(flags);
  return code.ok() ? *code : Fail(code.status());
}

CLI::Validator NotEmpty() {
  return {[](const std::string& text) {
            return std::string(text.empty() ? "is empty: give a name, or leave this out" : "");
          },
          ""};
}

struct EvaluateFlags {
  EvaluateOptions options;
  std::vector<std::string> runs;
  std::vector<std::string> signals;
  std::vector<std::string> bundles;
  std::string results = "evaluations";
  std::string seeds = "3";
  std::string baselines = "ppo_sparse,ppo_shaped,random_signal";
  MachineFlags machine;
  SimulatorFlags hosts;
  std::string out;
};

absl::Status CheckSubjects(const EvaluateFlags& flags) {
  if (flags.runs.empty() && flags.signals.empty()) {
    return absl::InvalidArgumentError(
        "RUN: name a run folder or an exported signal: its folder, zoo:NAME or hf://OWNER/NAME");
  }
  for (const std::string& run : flags.runs) {
    std::error_code error;
    if (!std::filesystem::exists(run, error) && IsInZoo(run)) {
      return absl::NotFoundError(
          absl::StrCat(run, ": there is no such folder; did you mean zoo:", run, "?"));
    }
  }
  if (!flags.out.empty() && !flags.signals.empty()) {
    return absl::InvalidArgumentError(
        "--out: a report needs a run, and a signal has none; leave --out or the signal out");
  }
  if (!flags.options.weights.empty() && !flags.signals.empty()) {
    return absl::InvalidArgumentError(
        "--weights: an exported signal has one state of its weights; leave --weights out here and "
        "give it to 'mentor export'");
  }
  return absl::OkStatus();
}

// Moves signals from the runs to the signals.
void SortSubjects(EvaluateFlags* flags) {
  std::vector<std::string> runs;
  for (const std::string& subject : flags->runs)
    (IsSignal(subject) ? flags->signals : runs).push_back(subject);
  flags->runs = std::move(runs);
}

int RunEvaluate(EvaluateFlags& flags) {
  SortSubjects(&flags);
  if (const absl::Status status = envs::AllowSimulators(flags.hosts.hosts, flags.hosts.timeout_s);
      !status.ok())
    return Fail(status, kExitUsage);
  const auto seeds = ParseSeeds(flags.seeds);
  if (!seeds.ok()) return Fail(seeds.status(), kExitUsage);
  const auto baselines = ParseBaselines(flags.baselines);
  if (!baselines.ok()) return Fail(baselines.status(), kExitUsage);
  flags.options.seeds = *seeds;
  flags.options.baselines = *baselines;
  flags.options.runs.assign(flags.runs.begin(), flags.runs.end());
  flags.options.results = flags.results;
  if (const absl::Status status = CheckSubjects(flags); !status.ok())
    return Fail(status, kExitUsage);
  for (const std::string& signal : flags.signals) {
    const auto folder = FindSignal(signal);
    if (!folder.ok()) return Fail(folder.status(), kExitUsage);
    flags.options.signals.push_back(*folder);
  }
  for (const std::string& folder : flags.bundles) {
    if (const absl::Status status = OfferFolder(folder).status(); !status.ok())
      return Fail(BadFlag("--bundle", folder, std::string(status.message())), kExitUsage);
  }
  const auto device = OpenProved(flags.machine);
  if (!device.ok()) return Fail(device.status(), kExitUsage);
  flags.options.actors = flags.machine.actors;
  flags.options.threads = flags.machine.threads;
  flags.options.device = *device;
  const auto code = Evaluate(flags.options);
  if (!code.ok()) return Fail(code.status());
  if (*code != kExitOk || flags.options.check || flags.runs.empty()) return *code;
  if (flags.out.empty()) {
    std::printf("Next         mentor report %s%s\n", absl::StrJoin(flags.runs, " ").c_str(),
                flags.runs.size() == 1 ? "" : " --out comparison");
    return kExitOk;
  }
  const auto written = WriteReports({.runs = flags.runs, .out = flags.out});
  return written.ok() ? *written : Fail(written.status());
}

// Says which agents live how long on what, taught by what.
void AddProtocolFlags(CLI::App* evaluate, EvaluateFlags* flags) {
  evaluate->option_defaults()->group("Protocol");
  evaluate->add_option("--tasks", flags->options.tasks,
                       "test or train: the run's own goals; or another benchmark: NAME, "
                       "NAME:ENVIRONMENT (with /train for its training goals), or a file with a "
                       "benchmark in text format. Default: the run's test goals");
  evaluate
      ->add_option("--seeds", flags->seeds,
                   "Seeds of the agents' randomness: 1,2,3, or 4-6, or how many")
      ->capture_default_str();
  evaluate
      ->add_option("--lifetimes", flags->options.lifetimes,
                   "Lifetimes on each goal; default: the spec's")
      ->check(CLI::Range(1, 10000));
  ctl::Repeatable(
      evaluate->add_option("--set", flags->options.settings,
                           "Another setting of the agents than the run's, for instance --set "
                           "agent.clip=1; PPO beside them gets it, too. Results say it, and go to "
                           "another folder"))
      ->type_name("agent.KEY=VALUE");
  evaluate
      ->add_option("--goals", flags->options.goals,
                   "Goals of each environment, the first ones; default: the spec's")
      ->check(CLI::Range(1, 100000));
  evaluate
      ->add_option("--iterations", flags->options.iterations,
                   "Inner iterations of a life, one more than its updates, for instance 10: longer "
                   "lives than in training; default: the spec's lifetime.iterations")
      ->check(CLI::Range(1, 1000));
  evaluate
      ->add_option(
          "--baselines", flags->baselines,
          "ppo_sparse, ppo_shaped, ppo_sparse_and_shaped, ppo_potential, ppo_rnd, ppo_icm, "
          "ppo_counts, random_signal, or none")
      ->capture_default_str();
  evaluate
      ->add_option("--weights", flags->options.weights,
                   "What teaches: last, the weights after the last outer update; best, those with "
                   "the best score in training; both; or average:N, the mean of the N last "
                   "checkpoints. Default: both, unless the spec sets evaluation.best_weights to "
                   "false")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return text.starts_with("average:")
                       ? ""
                       : OneOf({"last", "best", "both", "average:N"})(text);
          },
          "WEIGHTS"));
}

}  // namespace

void AddEvaluateCommand(CLI::App* app, Action* action) {
  const auto [evaluate, flags] = AddCommand<EvaluateFlags>(
      app, action, "evaluate",
      "Teach new agents with what runs have learned; after Ctrl-C, the same command continues",
      RunEvaluate);
  evaluate->footer(
      "Examples:\n"
      "  mentor evaluate runs/a runs/b --seeds 5 --out comparison\n"
      "  mentor evaluate runs/door --tasks ml1:door-open-v3 --lifetimes 2\n"
      "  mentor evaluate runs/door --weights best        where training got worse at its end\n"
      "  mentor evaluate runs/door --weights average:20  the mean of its last 20 checkpoints\n"
      "  mentor evaluate runs/door --iterations 10       lives of nine updates\n"
      "  mentor evaluate runs/door --set agent.clip=1 --set agent.epochs=20   other students\n"
      "  mentor evaluate zoo:point-reach-reward          a signal that comes with Mentor\n"
      "  mentor evaluate hf://OWNER/NAME                 one of the Hugging Face Hub\n"
      "  mentor evaluate signals/robot --bundle my_robot/   what 'mentor export' wrote\n"
      "Results are kept in RUN/experiments/UID/evaluations/NAME/seed-N. 'mentor report' shows\n"
      "those of the newest weights that were evaluated. With the same seed, all runs teach the\n"
      "same newborn agents: the same weights, goals and random numbers.");
  evaluate->add_option("RUN", flags->runs,
                       "Run folders, checkpoints of them, or exported signals: folders that "
                       "'mentor export' wrote, zoo:NAME or hf://OWNER/NAME");
  ctl::Repeatable(
      evaluate->add_option("--signal", flags->signals, "An exported signal, as RUN takes it"))
      ->type_name("DIR");
  ctl::Repeatable(
      evaluate->add_option("--bundle", flags->bundles,
                           "Folder of a bundle that a signal's tasks name; runs keep their own"))
      ->type_name("DIR");
  evaluate
      ->add_option("--results", flags->results, "Folder for results of signals, one folder each")
      ->type_name("DIR")
      ->capture_default_str();
  evaluate->add_option("--name", flags->options.name, "Name of its folder; default: TASKS-uUPDATES")
      ->check(NotEmpty());
  evaluate->add_option("--out", flags->out, "Also write the report to this folder");
  AddMachineFlags(evaluate, &flags->machine);
  evaluate->add_flag("--check", flags->options.check,
                     "Check everything, and say what would be evaluated; evaluate nothing");
  evaluate->add_flag("--quiet", flags->options.quiet, "Show no progress");
  AddSimulatorFlags(evaluate, &flags->hosts);
  AddProtocolFlags(evaluate, flags);
}

void AddReportCommand(CLI::App* app, Action* action) {
  const auto [report, flags] = AddCommand<ReportFlags>(
      app, action, "report", "Draw the report of a run again, or compare several runs", RunReport);
  report->footer(
      "Examples:\n"
      "  mentor report runs/a                           runs/a/report.html\n"
      "  mentor report runs/a-* runs/b-* --out paper    paper/comparison.html and its tables\n"
      "  mentor report runs/a-* runs/b-* --label runs/a-1=LSTM --label runs/b-1=attention\n"
      "  mentor report runs/lirpg-* --last_episodes 100 agents beside their signal, and PPO\n"
      "  mentor report runs/door-* --published results/paper_figures.csv \\\n"
      "    --published_rows \"figure=1,benchmark=ml1 door-close\" --published_name \"the paper\"\n"
      "Runs whose specs differ in nothing but seed and benchmark.goal_seed are meta-seeds of one\n"
      "method. Rules such as meta_gradient and response_gradient decide inside a lifetime: agents\n"
      "learn while their signal does. The report has return and success of their last whole\n"
      "episodes, and of PPO's after as many environment steps (last_episodes.csv).");
  report->add_option("RUN", flags->runs, "Run folders")->required();
  report->add_option(
      "--out", flags->out,
      "Folder to write to; default: the run folder, or ./comparison for several runs");
  report->add_option("--title", flags->title, "Title of a comparison");
  ctl::Repeatable(report->add_option("--label", flags->labels,
                                     "Name of a run's method in figures and tables, in place of "
                                     "its spec's display_name; meta-seeds share it"))
      ->type_name("RUN=NAME");
  report
      ->add_option("--unit", flags->unit,
                   "What one score of a comparison is: an agent's lifetime, or the mean over the "
                   "lifetimes of a meta-seed; auto: seed, if every method has three meta-seeds")
      ->check(OneOf({"auto", "seed", "lifetime"}))
      ->capture_default_str();
  report
      ->add_option("--last_episodes", flags->last_episodes,
                   "Number of last episodes that count for an agent that learned beside its "
                   "signal; default: 100")
      ->check(CLI::Range(1, static_cast<int>(meta_learner::kEpisodesOfAgent)));
  report->add_flag("--svg", flags->svg, "Also write each figure as SVG");
  report->add_flag("--png", flags->png, "Also write each figure as PNG");
  report->option_defaults()->group("Published curves");
  CLI::Option* published =
      report
          ->add_option(
              "--published", flags->published,
              "Success by episode from other publications, drawn dashed beside the runs' curves. "
              "CSV with columns method, episode (1, 2, ... or deterministic), success (0 to 1) "
              "and, if need be, split (test, train). A method with a name of the report, of its "
              "rule, or 'learned reward' has the same colour as ours")
          ->type_name("FILE");
  report
      ->add_option("--published_rows", flags->published_rows,
                   "Rows of the file that are drawn, by the values of their columns; default: all")
      ->type_name("COLUMN=VALUE,...")
      ->needs(published);
  report->add_option("--published_name", flags->published_name, "What legends call them")
      ->needs(published)
      ->capture_default_str();
}

}  // namespace mentor
