#include "cli/local/local_run.h"

#include <chrono>
#include <cstdio>
#include <memory>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "cli/local/cluster.h"
#include "cli/local/run_bundles.h"
#include "cli/local/run_hash.h"
#include "cli/local/run_metrics.h"
#include "cli/local/run_report.h"
#include "cli/local/state_experiments.h"
#include "cli/local/tensorboard.h"
#include "cli/local/web_page.h"
#include "cli/report/records.h"
#include "cli/report/report.h"
#include "cli/report/report_program.h"
#include "common/check.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/lifecycle.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/process/flags.h"
#include "common/progress_bar.h"
#include "common/protocol.h"
#include "common/resources/states.h"
#include "common/spec/spec.h"
#include "envs/benchmark.h"
#include "meta_learner/experiment/arithmetic.h"
#include "meta_learner/store/store.h"

namespace mentor {
namespace {

using State = v1::Experiment::State;

constexpr char kName[] = "experiments/run";
constexpr int kLearnedColumns = 100;
constexpr char kOnlyShown[] =
    "the page of 'mentor run' only shows the run: Ctrl-C in its terminal stops it, and the same "
    "command continues it";
constexpr size_t kHashDigits = 8;  // Digits of the spec's hash in the name of a folder.

// Returns the experiment of the folder, which a new folder gets here.
absl::StatusOr<v1::Experiment> FindOrCreate(meta_learner::Store* store,
                                            const LocalRunOptions& options) {
  auto existing = store->records.Get(kName);
  if (absl::IsNotFound(existing.status())) {
    for (const StateExperiment& other : ExperimentsIn(options.out)) {
      if (other.id.empty() || other.id == "run") continue;
      return absl::FailedPreconditionError(absl::StrFormat(
          "%s holds %s, which a service ran; choose another folder with --out. 'mentor hash', "
          "'mentor report' and 'mentor reproduce --from' read it",
          options.out.string(), other.id));
    }
    meta_learner::NewExperiment fresh = meta_learner::WithSpec(options.checked.given, "run");
    if (options.branch) {
      fresh.experiment.set_source_checkpoint(options.branch->file.string());
      fresh.fill_folder = [&](const std::string& uid, const std::filesystem::path& folder) {
        meta_learner::Checkpoint checkpoint = options.branch->checkpoint;
        checkpoint.spec_hash = SpecHash(options.checked.spec);
        checkpoint.experiment_uid = uid;
        return meta_learner::WriteCheckpoint(folder / "checkpoints", checkpoint).status();
      };
    }
    return store->records.Create(fresh);
  }
  MENTOR_RETURN_IF_ERROR(existing.status());
  if (SpecHash(existing->spec()) != SpecHash(options.checked.spec)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s holds a run of another spec; choose another folder with --out, go on from that run "
        "with 'mentor run --from %s --set ... --out NEW', or continue it with its spec, %s",
        options.out.string(), options.out.string(),
        (store->files.ExperimentFolder(existing->uid()) / "spec.txtpb").string()));
  }
  // Reindex leaves the experiment PAUSED; running it again resumes it.
  if (existing->state() == v1::Experiment::STATE_PAUSED) {
    return store->records.Transition(kName, {v1::Experiment::STATE_PAUSED},
                                     v1::Experiment::STATE_QUEUED);
  }
  return existing;
}

Cluster::Options RolesOf(const LocalRunOptions& options, meta_learner::BundleShelf* bundles) {
  Cluster::Options roles{
      .actors = options.actors, .threads = options.threads, .device = options.device};
  if (options.web.empty()) return roles;
  roles.listen = "127.0.0.1:0";
  roles.control = {.read_only = kOnlyShown};
  roles.bundles = bundles;
  return roles;
}

// Returns null if the run has no page.
absl::StatusOr<std::unique_ptr<WebPage>> StartPage(const LocalRunOptions& options,
                                                   const Cluster& cluster) {
  if (options.web.empty()) return nullptr;
  MENTOR_ASSIGN_OR_RETURN(auto page, WebPage::Start(cluster.address(), options.web));
  std::fprintf(stderr, "page: %s, until the run ends\n", page->url().c_str());
  return page;
}

// Prints a failure of the metrics files once; the run continues without them.
void Keep(const absl::Status& status, absl::Status* kept) {
  if (!status.ok() && kept->ok())
    std::fprintf(stderr, "warning: metrics: %s\n", std::string(status.message()).c_str());
  *kept = status;
}

// Follows the experiment until it ends. Returns true if a signal stopped it.
bool Follow(meta_learner::Records* records, bool quiet, RunMetrics* metrics,
            v1::Experiment* experiment) {
  ProgressBar bar;
  uint32_t updates = experiment->progress().outer_updates();
  absl::Status kept;
  const auto learned = [&](int columns) { return metrics->Learned(columns); };
  while (true) {
    const bool stopped = WaitForStopSignal(std::chrono::milliseconds(250)) != 0;
    if (auto now = records->Get(kName); now.ok()) *experiment = *std::move(now);
    if (experiment->progress().outer_updates() != updates) {
      updates = experiment->progress().outer_updates();
      Keep(metrics->Update(), &kept);
    }
    if (!quiet) bar.Show(experiment->progress(), experiment->activity(), learned);
    if (stopped || IsFinal(experiment->state())) {
      if (!quiet) bar.Finish();
      return stopped;
    }
  }
}

void Say(const LocalRunOptions& options, const v1::Experiment& experiment, bool stopped,
         const absl::StatusOr<report::Said>& report, const std::string& learned) {
  if (stopped) {
    std::printf("Stopped after outer update %d. Run the same command to continue.\n",
                experiment.progress().outer_updates());
  } else if (experiment.state() != v1::Experiment::STATE_FAILED && report.ok()) {
    std::printf("%s\n", report->summary.c_str());
  }
  if (!learned.empty()) std::printf("Training     %s\n", learned.c_str());
  std::printf("Run folder   %s\n", options.out.c_str());
  std::printf("Metrics      %s\n", (options.out / kMetricsFile).c_str());
  std::printf("Checkpoints  %s\n",
              (options.out / "experiments" / experiment.uid() / "checkpoints").c_str());
  std::printf("Records      %s\n", (options.out / report::kRecordsFolder).c_str());
  if (report.ok()) std::printf("Report       %s\n", (options.out / "report.html").c_str());
  if (!options.web.empty()) std::printf("Page         mentor web %s\n", options.out.c_str());
  if (const auto hash = HashRun(options.out); hash.ok()) {
    WarnOfDamage(*hash);
    std::printf("Hash         %s (after outer update %d)\n", hash->state_hash.c_str(),
                hash->outer_step);
  }
}

// Draws the report from the records, unless the options say that nobody wants it.
absl::StatusOr<report::Said> Draw(const LocalRunOptions& options, const absl::Status& recorded) {
  MENTOR_RETURN_IF_ERROR(recorded);
  if (!options.report) return absl::CancelledError("not asked for");
  if (!options.quiet) std::fprintf(stderr, "drawing the report\n");
  return report::DrawReport(options.out);
}

// Writes the records and the report, and says how the run ended. Returns the exit code.
int End(const LocalRunOptions& options, const report::ReportData& data,
        const v1::Experiment& experiment, bool stopped, const std::string& learned) {
  const absl::Status recorded = report::WriteRecords(data, options.out / report::kRecordsFolder);
  const auto report = Draw(options, recorded);
  const bool unwanted = absl::IsCancelled(report.status());
  // Without Python a run ends with its records.
  const bool failed = !report.ok() && !unwanted && !absl::IsNotFound(report.status());
  if (!stopped && experiment.state() == v1::Experiment::STATE_FAILED) {
    std::fprintf(stderr, "error: the experiment failed: %s\n",
                 experiment.error().message().c_str());
  }
  if (failed) {
    std::fprintf(stderr, "error: no report: %s\nFree space, then run: mentor report %s\n",
                 std::string(report.status().message()).c_str(), options.out.c_str());
  } else if (!report.ok() && !unwanted) {
    std::fprintf(stderr, "note: no report: %s; then run: mentor report %s\n",
                 std::string(report.status().message()).c_str(), options.out.c_str());
  } else if (report.ok() && options.summary) {
    for (const std::string& warning : report->warnings)
      std::fprintf(stderr, "warning: %s\n", warning.c_str());
  }
  if (options.summary) Say(options, experiment, stopped, report, learned);
  if (stopped) return 130;
  if (experiment.state() != v1::Experiment::STATE_SUCCEEDED || failed) return 1;
  if (options.summary) {
    const std::string next =
        report.ok() && !report->next.empty()
            ? report->next
            : absl::StrCat("mentor evaluate ", options.out.string(), " --seeds 5");
    std::printf("Next         %s%s\n", next.c_str(), options.next_flags.c_str());
  }
  return 0;
}

}  // namespace

std::filesystem::path DefaultRunFolder(const std::filesystem::path& origin,
                                       const v1::ExperimentSpec& spec) {
  std::string stem = origin.stem().string();
  // Drop the hash of the origin's folder; the new folder gets its own hash.
  const size_t dash = stem.rfind('-');
  if (dash != stem.npos && stem.size() - dash == 1 + kHashDigits && IsHex(stem.substr(dash + 1)))
    stem.resize(dash);
  return std::filesystem::path("runs") /
         absl::StrFormat("%s-%s", stem, SpecHash(spec).substr(0, kHashDigits));
}

absl::StatusOr<int> RunLocally(const LocalRunOptions& options) {
  auto metrics = Metrics::Create({.build_info = {{"version", std::string(kBuildVersion)}}});
  MENTOR_RETURN_IF_ERROR(
      ExposeMetrics({.metrics_address = options.metrics_address}, metrics.get()));
  std::unique_ptr<TensorboardFiles> board;  // Ends after the store.
  MENTOR_ASSIGN_OR_RETURN(const auto store, meta_learner::OpenStore(options.out));
  MENTOR_ASSIGN_OR_RETURN(const auto shelf, KeepRunBundles(options.checked.spec, options.out));
  MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, FindOrCreate(store.get(), options));
  MENTOR_ASSIGN_OR_RETURN(
      const auto numbers,
      RunMetrics::Open({.points =
                            [&](uint32_t step_min, uint32_t step_max) {
                              return store->results.Points(experiment.uid(), {}, step_min,
                                                           step_max);
                            },
                        .iterations = options.checked.spec.lifetime().iterations(),
                        .has_success = options.checked.has_success,
                        .csv = options.out / kMetricsFile}));
  if (!options.tensorboard.empty()) {
    MENTOR_ASSIGN_OR_RETURN(board, TensorboardFiles::Start(options.out, options.tensorboard));
  }
  bool stopped = false;
  if (!IsFinal(experiment.state())) {
    Violations none;  // The spec was checked.
    if (const auto benchmark = envs::MakeBenchmark(options.checked.spec.benchmark(), &none))
      MENTOR_RETURN_IF_ERROR(CheckSimulators(*benchmark));
    const std::filesystem::path folder = store->files.ExperimentFolder(experiment.uid());
    MENTOR_RETURN_IF_ERROR(meta_learner::KeepFingerprint(
        folder, meta_learner::ExperimentFingerprint(), options.checked.spec,
        absl::StrFormat("mentor run %s --out %s-anew", (folder / "spec.txtpb").string(),
                        options.out.string())));
    MENTOR_RETURN_IF_ERROR(
        meta_learner::CheckLearnerArithmetic(folder, meta_learner::CpuArithmetic()));
    Cluster cluster(RolesOf(options, shelf.get()), store.get(), metrics.get());
    MENTOR_RETURN_IF_ERROR(cluster.Start());
    // The page ends before the service that it shows.
    MENTOR_ASSIGN_OR_RETURN(const auto page, StartPage(options, cluster));
    stopped = Follow(&store->records, options.quiet, numbers.get(), &experiment);
    // A report of an earlier part of the run goes, also where no new one is drawn.
    for (const char* old : {"report", "report.html"}) RemoveAll(options.out / old).IgnoreError();
  }
  // The last update may have been committed after the signal.
  MENTOR_ASSIGN_OR_RETURN(experiment, store->records.Get(kName));
  absl::Status kept;
  Keep(numbers->Update(), &kept);

  MENTOR_ASSIGN_OR_RETURN(const report::ReportData data, ReportDataOf(store.get(), experiment));
  return End(options, data, experiment, stopped, numbers->Learned(kLearnedColumns));
}

}  // namespace mentor
