#include "cli/local/evaluate.h"

#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <system_error>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>
#include <google/protobuf/text_format.h>

#include "cli/local/cluster.h"
#include "cli/local/evaluation_jobs.h"
#include "cli/local/look_inside.h"
#include "cli/local/run_report.h"
#include "cli/local/signal_export.h"
#include "cli/local/student_settings.h"
#include "cli/local/trained_run.h"
#include "cli/report/success_rates.h"
#include "cli/report/words.h"
#include "common/check.h"
#include "common/evaluation_method.h"
#include "common/file.h"
#include "common/machine_memory.h"
#include "common/metrics.h"
#include "common/printable.h"
#include "common/protocol.h"
#include "common/spec/spec.h"
#include "meta_learner/experiment/arithmetic.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/experiment/spec_memory.h"
#include "meta_learner/experiment/task_sampler.h"
#include "shards/shard_memory.h"

namespace mentor {
namespace {

constexpr uint64_t kSeedsMax = 1000;

// A run and the protocol of its evaluation.
struct Subject {
  TrainedRun run;
  std::string path;  // As the user named it.
  std::unique_ptr<envs::Benchmark> benchmark;
  envs::Split split = envs::Split::kTest;
  std::string label;
  std::filesystem::path folder;  // evaluations/NAME
  std::string experiment;        // For logs.
  // One per seed.
  std::vector<v1::ExperimentSpec> specs;
};

// Returns the settings that all evaluations in a folder share; seeds and teachers may be added
// later.
std::string ProtocolText(const Subject& subject) {
  v1::ExperimentSpec spec = subject.specs[0];
  spec.clear_seed();
  spec.mutable_evaluation()->clear_baseline();
  // The set of teachers is not part of the protocol, but a mean of other checkpoints is another.
  spec.mutable_evaluation()->set_best_weights(subject.run.spec.evaluation().best_weights());
  const uint32_t own = subject.run.spec.evaluation().averaged_checkpoints();
  if (spec.evaluation().averaged_checkpoints() == 0) {
    spec.mutable_evaluation()->clear_averaged_checkpoints();
    if (own > 0) spec.mutable_evaluation()->set_averaged_checkpoints(own);
  }
  return absl::StrCat("state_hash: ", subject.run.state_hash,
                      "\nsplit: ", meta_learner::SplitName(subject.split), "\n", PrintSpec(spec));
}

// The N of "average:N"; 0 for other weights.
absl::StatusOr<uint32_t> AveragedBy(absl::string_view weights) {
  uint32_t checkpoints = 0;
  if (!absl::ConsumePrefix(&weights, "average:")) return checkpoints;
  if (absl::SimpleAtoi(weights, &checkpoints) && absl::StrCat(checkpoints) == weights &&
      checkpoints > 0)
    return checkpoints;
  return absl::InvalidArgumentError(
      absl::StrCat("--weights average:", weights,
                   ": name how many last checkpoints, 1 or more, for instance average:20"));
}

absl::Status CheckShape(const Subject& subject) {
  const v1::EnvironmentShape own = meta_learner::ShapeOf(*subject.run.parts.benchmark),
                             other = meta_learner::ShapeOf(*subject.benchmark);
  const auto words = [](const v1::EnvironmentShape& shape) {
    return absl::StrFormat("observations of %d numbers and %s %d%s", shape.observation_size(),
                           shape.discrete_actions() ? "one of" : "actions of", shape.action_size(),
                           shape.discrete_actions() ? " actions" : "");
  };
  if (own.observation_size() == other.observation_size() &&
      own.action_size() == other.action_size() &&
      own.discrete_actions() == other.discrete_actions())
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("--tasks %s: it has %s, but %s learned with %s; choose tasks of that shape",
                      subject.label, words(other), subject.path, words(own)));
}

absl::Status CheckTasksOf(const Subject& subject) {
  const auto& sets = subject.benchmark->Tasks(subject.split);
  const std::string split = meta_learner::SplitName(subject.split);
  if (sets.empty()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--tasks: %s has no %s goals; choose %s", subject.path, split,
                        subject.split == envs::Split::kTest ? "train" : "test"));
  }
  for (const envs::TaskSet& set : sets) {
    if (set.tasks.empty() && subject.specs[0].evaluation().goals() == 0) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "--goals: %s has an unlimited number of goals in %s; choose how many, for "
          "instance --goals 50",
          subject.label, set.name));
    }
  }
  return absl::OkStatus();
}

// Sets the baselines that say something.
void SetBaselines(const std::vector<v1::Baseline>& baselines, const std::string& path,
                  v1::ExperimentSpec* spec) {
  spec->mutable_evaluation()->clear_baseline();
  std::vector<std::string> left_out;
  for (const v1::Baseline baseline : baselines) {
    // Other baselines would measure agents that never learn.
    if (baseline != v1::RANDOM_SIGNAL && spec->lifetime().iterations() == 1) {
      left_out.push_back(absl::AsciiStrToLower(v1::Baseline_Name(baseline)));
    } else {
      spec->mutable_evaluation()->add_baseline(baseline);
    }
  }
  if (left_out.empty()) return;
  std::fprintf(stderr,
               "note: %s: without %s, since PPO never updates its agents in lifetimes of one "
               "iteration\n",
               path.c_str(), absl::StrJoin(left_out, ", ").c_str());
}

absl::StatusOr<Subject> MakeSubject(const std::filesystem::path& path,
                                    absl::StatusOr<TrainedRun> run,
                                    const EvaluateOptions& options) {
  MENTOR_RETURN_IF_ERROR(run.status());
  Subject subject;
  subject.path = path.string();
  subject.run = *std::move(run);
  v1::ExperimentSpec spec = subject.run.spec;
  if (options.tasks.empty()) {
    subject.split = meta_learner::EvaluatedSplits(*subject.run.parts.benchmark, spec)[0];
    subject.label = meta_learner::SplitName(subject.split);
  } else if (options.tasks == "test" || options.tasks == "train") {
    subject.split = options.tasks == "test" ? envs::Split::kTest : envs::Split::kTrain;
    subject.label = options.tasks;
  } else {
    MENTOR_ASSIGN_OR_RETURN(const NamedTasks tasks, ParseTasks(options.tasks));
    *spec.mutable_benchmark() = tasks.benchmark;
    subject.label = tasks.label;
  }
  spec = WithDefaults(spec);
  Violations violations;
  subject.benchmark = envs::MakeBenchmark(spec.benchmark(), &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());
  if (subject.label != "test" && subject.label != "train") {
    const bool has_test = !subject.benchmark->Tasks(envs::Split::kTest).empty();
    subject.split =
        has_test && !options.tasks.ends_with("/train") ? envs::Split::kTest : envs::Split::kTrain;
  }
  MENTOR_RETURN_IF_ERROR(CheckShape(subject));
  if (!options.settings.empty()) {
    MENTOR_ASSIGN_OR_RETURN(*spec.mutable_agent(), StudentsOf(subject.run, options.settings));
    // Another label, so that reports keep them apart.
    absl::StrAppend(&subject.label, " with ", absl::StrJoin(options.settings, " "));
  }
  v1::EvaluationSpec& evaluation = *spec.mutable_evaluation();
  if (options.lifetimes > 0) evaluation.set_lifetimes_per_goal(options.lifetimes);
  if (options.goals > 0) evaluation.set_goals(options.goals);
  if (evaluation.lifetimes_per_goal() == 0) evaluation.set_lifetimes_per_goal(1);
  if (options.iterations > 0)
    spec.mutable_lifetime()->set_iterations(static_cast<uint32_t>(options.iterations));
  MENTOR_ASSIGN_OR_RETURN(const uint32_t averaged, AveragedBy(options.weights));
  if (!options.weights.empty()) {
    evaluation.set_best_weights(options.weights == "best" || options.weights == "both");
    evaluation.set_averaged_checkpoints(averaged);
  }
  SetBaselines(options.baselines, subject.path, &spec);
  if (subject.run.state_hash.empty() && evaluation.baseline().empty()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s has learned nothing (rule.outer_updates is 0), so there is nothing to "
                        "evaluate without --baselines",
                        subject.path));
  }
  for (const uint64_t seed : options.seeds) {
    subject.specs.push_back(spec);
    subject.specs.back().set_seed(seed);
  }
  MENTOR_RETURN_IF_ERROR(CheckTasksOf(subject));
  std::string name = options.name;
  if (name.empty()) {
    name = absl::StrFormat("%s-u%d", subject.label, subject.run.outer_step);
    if (averaged > 0 && averaged != subject.run.spec.evaluation().averaged_checkpoints())
      absl::StrAppend(&name, "-average", averaged);
    if (spec.lifetime().iterations() != subject.run.spec.lifetime().iterations())
      absl::StrAppend(&name, "-iterations", spec.lifetime().iterations());
  }
  subject.experiment = "evaluations/" + name;
  MENTOR_ASSIGN_OR_RETURN(name, EvaluationFolderName(name));
  const std::filesystem::path& own = subject.run.folder.experiment;  // Exported signals have none.
  subject.folder =
      (own.empty() ? options.results / NameOfFolder(path) : EvaluationsFolder(own)) / name;
  return subject;
}

// Refuses runs that are named twice, because their results would be counted twice.
absl::Status CheckOnce(const std::vector<Subject>& subjects) {
  std::map<std::filesystem::path, std::string> seen;
  for (const Subject& subject : subjects) {
    std::error_code error;
    const auto folder = std::filesystem::weakly_canonical(subject.folder, error);
    const auto [first, is_new] = seen.emplace(error ? subject.folder : folder, subject.path);
    if (is_new) continue;
    return absl::InvalidArgumentError(
        absl::StrFormat("%s and %s are the same run; name it once", first->second, subject.path));
  }
  return absl::OkStatus();
}

std::filesystem::path ProtocolFile(const Subject& subject) {
  return subject.folder / "protocol.txtpb";
}

// The protocol of an existing folder must be the same.
absl::Status CheckProtocol(const Subject& subject) {
  const auto written = ReadFile(ProtocolFile(subject), kSpecBytesMax + 4096);
  if (absl::IsNotFound(written.status())) return absl::OkStatus();
  MENTOR_RETURN_IF_ERROR(written.status());
  if (*written == ProtocolText(subject)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s holds an evaluation of other weights or another protocol (goals, "
      "lifetimes, iterations, agents, averaged checkpoints); give this one a name with "
      "--name, or remove that folder",
      subject.folder.string()));
}

absl::StatusOr<std::vector<meta_learner::EvaluationJob>> JobsOf(const Subject& subject,
                                                                const EvaluateOptions& options) {
  meta_learner::RunParameters parameters = subject.run.parameters();
  v1::EvaluationSpec evaluation = subject.specs[0].evaluation();
  uint32_t averaged = 0;
  if (evaluation.averaged_checkpoints() > 0 && !subject.run.state_hash.empty()) {
    const auto files = LastCheckpoints(subject.run, evaluation.averaged_checkpoints());
    if (files.ok()) {
      averaged = static_cast<uint32_t>(files->size());
      if (!options.weights.empty() && averaged < evaluation.averaged_checkpoints()) {
        return absl::FailedPreconditionError(
            absl::StrFormat("--weights average:%d: %s has made %s; give at most that",
                            evaluation.averaged_checkpoints(), subject.path,
                            report::Several(averaged, "checkpoint")));
      }
      MENTOR_ASSIGN_OR_RETURN(parameters.average,
                              meta_learner::AverageParameters(*files, subject.run.spec));
    } else if (!options.weights.empty()) {
      return files.status();
    } else {
      // The user did not ask for it.
      std::fprintf(stderr, "note: without averaged weights: %s\n",
                   std::string(files.status().message()).c_str());
      evaluation.clear_averaged_checkpoints();
    }
  }
  std::vector<meta_learner::Teacher> teachers =
      meta_learner::Teachers(evaluation, parameters,
                             /*learned=*/!subject.run.state_hash.empty(), /*baselines=*/true);
  if (options.weights == "best" || options.weights.starts_with("average:")) {
    std::erase_if(teachers, [](const meta_learner::Teacher& teacher) {
      return teacher.method == v1::EVALUATION_METHOD_LEARNED;
    });
  }
  std::vector<meta_learner::EvaluationJob> jobs;
  for (const v1::ExperimentSpec& spec : subject.specs) {
    for (const meta_learner::Teacher& teacher : teachers) {
      jobs.push_back({.owner = {subject.experiment, spec, *subject.benchmark},
                      .teacher = teacher,
                      .split = subject.split,
                      .folder = subject.folder / meta_learner::SeedFolder(spec.seed()),
                      .tasks = subject.label,
                      .outer_step = subject.run.outer_step,
                      .spec_hash = SpecHash(subject.run.spec),
                      .state_hash = subject.run.state_hash,
                      .averaged_checkpoints = averaged});
    }
  }
  return jobs;
}

// RESOURCE_EXHAUSTED where the machine has less memory than one shard takes. It grows with the
// length of the lives.
absl::Status CheckMemory(const std::vector<meta_learner::EvaluationJob>& jobs, int threads) {
  const uint64_t machine = MachineMemoryBytes();
  for (const meta_learner::EvaluationJob& job : jobs) {
    const auto& parameters = job.teacher.parameters;
    const uint64_t needed = shards::kLearnerProcessBytes +
                            static_cast<uint64_t>(meta_learner::EvaluationBytes(job.owner.spec)) +
                            shards::MemoryOf(meta_learner::FirstShard(job),
                                             parameters.defined() ? parameters.numel() : 0)
                                .With(static_cast<uint32_t>(threads));
    if (machine == 0 || needed <= machine) continue;
    return absl::ResourceExhaustedError(absl::StrFormat(
        "--iterations: lives of %d iterations of %d steps take %s of memory, and this machine has "
        "%s free; give fewer, or make rule.shard_lifetimes of the spec smaller",
        job.owner.spec.lifetime().iterations(), job.owner.spec.lifetime().steps_per_iteration(),
        meta_learner::Gigabytes(needed), meta_learner::Gigabytes(machine)));
  }
  return absl::OkStatus();
}

// Stores for the report where the network attends. The last evaluation overwrites earlier maps.
absl::Status KeepMaps(const Subject& subject) {
  if (subject.run.state_hash.empty() || subject.run.folder.experiment.empty())
    return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(const v1::SignalMaps maps, LookInside(subject.run, subject.specs[0],
                                                                *subject.benchmark, subject.split));
  if (maps.map().empty()) return absl::OkStatus();
  return WriteFileAtomically(MapsFile(subject.run.folder.experiment), maps.SerializeAsString());
}

absl::Status PrintTable(const Subject& subject) {
  const meta_learner::EvaluatedRun run = {
      .spec_hash = SpecHash(subject.run.spec),
      .state_hash = [&](uint32_t) { return subject.run.state_hash; }};
  std::vector<report::EvaluationRow> rows;
  for (const v1::ExperimentSpec& spec : subject.specs) {
    MENTOR_ASSIGN_OR_RETURN(
        const auto shards,
        meta_learner::ReadShards(subject.folder / meta_learner::SeedFolder(spec.seed()), &run));
    for (const v1::EvaluationShard& shard : shards) {
      for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes())
        rows.push_back(
            RowOf(shard, lifetime, subject.benchmark.get(), spec.benchmark().goal_seed()));
    }
  }
  MENTOR_ASSIGN_OR_RETURN(const auto results,
                          report::SummariseEvaluation(
                              rows, static_cast<int>(subject.specs[0].lifetime().iterations())));
  std::printf("\n%s\nweights after outer update %d; %s, %s of agents\n", subject.path.c_str(),
              subject.run.outer_step, report::GoalsOf(subject.label).c_str(),
              report::Several(subject.specs.size(), "seed").c_str());
  for (const report::MethodResult& result : results) {
    if (!result.environment.empty()) continue;
    const size_t parts = result.segments.size();
    std::string line =
        absl::StrFormat("  %-22s %5d lifetimes", NameOf(result.method), result.lifetimes);
    for (const size_t part : std::set<size_t>{0, parts - 1}) {
      absl::StrAppend(&line, "  ", report::PartName(static_cast<int>(part), parts), " ",
                      report::FormatInterval(result.segments[part]));
    }
    std::printf("%s%s\n", line.c_str(),
                result.quantity == report::Quantity::kReturn ? "  (shaped return)" : "");
  }
  std::printf("Results      %s\n", subject.folder.c_str());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<uint64_t>> ParseSeeds(const std::string& text) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(absl::StrFormat(
        "--seeds %s: give numbers like 1,2,3, a range like 4-6, or how many, for instance 3",
        text));
  };
  std::vector<uint64_t> seeds;
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  for (const std::string& part : parts) {
    const std::vector<std::string> ends = absl::StrSplit(part, '-');
    uint64_t first = 0, last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends[0], &first) ||
        !absl::SimpleAtoi(ends.back(), &last))
      return bad();
    // A single number N means the seeds 1 to N.
    if (parts.size() == 1 && ends.size() == 1) first = 1;
    if (last < first || last - first >= kSeedsMax) return bad();
    for (uint64_t seed = first; seed <= last; ++seed) seeds.push_back(seed);
  }
  if (std::set(seeds.begin(), seeds.end()).size() != seeds.size()) return bad();
  return seeds;
}

absl::StatusOr<std::string> EvaluationFolderName(const std::string& name) {
  const std::string folder = absl::StrReplaceAll(name, {{"/", "-"}, {":", "-"}, {" ", "_"}});
  if (!folder.empty() && folder != "." && folder != ".." && Printable(folder) == folder)
    return folder;
  return absl::InvalidArgumentError(
      absl::StrCat("--name: '", Printable(name),
                   "' names no folder: give printable characters, and not '.' or '..'"));
}

absl::StatusOr<std::vector<v1::Baseline>> ParseBaselines(const std::string& text) {
  std::vector<v1::Baseline> baselines;
  if (text == "none") return baselines;
  for (const auto name : absl::StrSplit(text, ',')) {
    v1::Baseline baseline = v1::BASELINE_UNSPECIFIED;
    if (!v1::Baseline_Parse(absl::AsciiStrToUpper(name), &baseline) ||
        baseline == v1::BASELINE_UNSPECIFIED) {
      return absl::InvalidArgumentError(
          absl::StrCat("--baselines ", text, ": unknown '", name,
                       "'; known: ppo_sparse, ppo_shaped, ppo_sparse_and_shaped, ppo_potential, "
                       "ppo_rnd, ppo_icm, ppo_counts, random_signal, or none"));
    }
    baselines.push_back(baseline);
  }
  return baselines;
}

absl::StatusOr<NamedTasks> ParseTasks(const std::string& tasks) {
  NamedTasks named;
  std::error_code error;
  if (std::filesystem::is_regular_file(tasks, error)) {
    MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(tasks, kSpecBytesMax));
    if (!google::protobuf::TextFormat::ParseFromString(text, &named.benchmark) ||
        named.benchmark.name().empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--tasks ", tasks, ": the file is not a benchmark in text format; it should ",
          "read like  name: \"ml1\" environment: \"button-press-v3\""));
    }
    named.label = std::filesystem::path(tasks).stem().string();
    return named;
  }
  named.label = tasks;
  std::string text = tasks;
  if (text.ends_with("/train")) {
    named.train = true;
    text.resize(text.size() - 6);
  }
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  named.benchmark.set_name(parts[0]);
  if (parts.size() > 1) named.benchmark.set_environment(parts[1]);
  return named;
}

absl::StatusOr<int> Evaluate(const EvaluateOptions& options) {
  std::vector<Subject> subjects;
  for (const std::filesystem::path& path : options.runs) {
    MENTOR_ASSIGN_OR_RETURN(Subject subject, MakeSubject(path, ReadRun(path), options));
    subjects.push_back(std::move(subject));
  }
  for (const std::filesystem::path& path : options.signals) {
    MENTOR_ASSIGN_OR_RETURN(Subject subject, MakeSubject(path, ReadExportedSignal(path), options));
    subjects.push_back(std::move(subject));
  }
  MENTOR_RETURN_IF_ERROR(CheckOnce(subjects));
  std::vector<meta_learner::EvaluationJob> jobs;
  for (const Subject& subject : subjects) {
    MENTOR_ASSIGN_OR_RETURN(std::vector<meta_learner::EvaluationJob> own, JobsOf(subject, options));
    MENTOR_RETURN_IF_ERROR(CheckProtocol(subject));
    MENTOR_RETURN_IF_ERROR(CheckRead(meta_learner::FirstShard(own[0]), options.settings));
    MENTOR_RETURN_IF_ERROR(CheckMemory(own, options.threads));
    for (auto& job : own) jobs.push_back(std::move(job));
  }
  if (options.check || !options.quiet) PrintPlan(jobs);
  std::fflush(stdout);  // Before the progress of hours.
  if (options.check) return 0;
  for (const Subject& subject : subjects) {
    MENTOR_RETURN_IF_ERROR(MakeFolders(subject.folder));
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(ProtocolFile(subject), ProtocolText(subject)));
    // All results of an evaluation must come from one kind of arithmetic.
    MENTOR_RETURN_IF_ERROR(meta_learner::KeepFingerprint(
        subject.folder, meta_learner::ExperimentFingerprint(), subject.specs[0],
        absl::StrCat("mentor evaluate ", subject.path, " --name ",
                     subject.folder.filename().string(), "-anew")));
  }
  auto metrics = Metrics::Create({.build_info = {{"version", std::string(kBuildVersion)}}});
  bool stopped = false;
  {
    Cluster cluster(
        {.actors = options.actors, .threads = options.threads, .device = options.device},
        /*store=*/nullptr, metrics.get());
    MENTOR_RETURN_IF_ERROR(cluster.Start());
    MENTOR_ASSIGN_OR_RETURN(stopped,
                            RunEvaluationJobs(jobs, "evaluating", options.quiet, &cluster));
  }
  if (stopped) {
    std::printf("Stopped. Run the same command to continue.\n");
    return 130;
  }
  for (const Subject& subject : subjects) {
    if (options.settings.empty()) MENTOR_RETURN_IF_ERROR(KeepMaps(subject));
    MENTOR_RETURN_IF_ERROR(PrintTable(subject));
  }
  return 0;
}

}  // namespace mentor
