#include "mentor/local/local_run.h"

#include <chrono>
#include <cstdio>
#include <memory>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/lifecycle.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/progress_bar.h"
#include "common/protocol.h"
#include "common/resources/states.h"
#include "common/spec/spec.h"
#include "mentor/local/cluster.h"
#include "mentor/local/run_report.h"
#include "mentor/report/report.h"
#include "meta_learner/experiment/fingerprint.h"
#include "meta_learner/experiment/learner_arithmetic.h"
#include "meta_learner/store/store.h"

namespace mentor {
namespace {

using State = v1::Experiment::State;

constexpr char kName[] = "experiments/run";

// The experiment of this folder, made when the folder is new.
absl::StatusOr<v1::Experiment> FindOrCreate(meta_learner::ExperimentStore* store,
                                            const LocalRunOptions& options) {
  auto existing = store->Get(kName);
  if (absl::IsNotFound(existing.status()))
    return store->Create(meta_learner::WithSpec(options.spec, "run"));
  MENTOR_RETURN_IF_ERROR(existing.status());
  if (SpecHash(existing->spec()) != SpecHash(options.spec)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s holds a run of another spec; give another folder with --out, or the spec in %s to go "
        "on with that run",
        options.out.string(), (store->ExperimentFolder(existing->uid()) / "spec.txtpb").string()));
  }
  // Reindex left it so; whoever runs it wants it to go on.
  if (existing->state() == v1::Experiment::STATE_PAUSED) {
    return store->Transition(kName, {v1::Experiment::STATE_PAUSED}, v1::Experiment::STATE_QUEUED);
  }
  return existing;
}

// Follows the experiment until it ends or a signal comes (then true).
bool Follow(meta_learner::ExperimentStore* store, bool quiet, v1::Experiment* experiment) {
  ProgressBar bar;
  while (true) {
    const bool stopped = WaitForStopSignal(std::chrono::milliseconds(250)) != 0;
    if (auto now = store->Get(kName); now.ok()) *experiment = *std::move(now);
    if (!quiet) bar.Show(experiment->progress(), experiment->activity());
    if (stopped || IsFinal(experiment->state())) {
      if (!quiet) bar.Finish();
      return stopped;
    }
  }
}

}  // namespace

std::filesystem::path DefaultRunFolder(const std::filesystem::path& spec_file,
                                       const v1::ExperimentSpec& spec) {
  return std::filesystem::path("runs") /
         absl::StrFormat("%s-%s", spec_file.stem().string(), SpecHash(spec).substr(0, 8));
}

absl::StatusOr<int> RunLocally(const LocalRunOptions& options) {
  auto metrics = Metrics::Create({.build_info = {{"version", std::string(kBuildVersion)}}});
  if (!options.metrics_address.empty())
    MENTOR_RETURN_IF_ERROR(metrics->Expose(options.metrics_address));
  MENTOR_ASSIGN_OR_RETURN(const auto store, meta_learner::OpenStore(options.out));
  MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, FindOrCreate(store.get(), options));
  bool stopped = false;
  if (!IsFinal(experiment.state())) {
    MENTOR_RETURN_IF_ERROR(meta_learner::KeepFingerprint(store->ExperimentFolder(experiment.uid()),
                                                         meta_learner::ExperimentFingerprint()));
    MENTOR_RETURN_IF_ERROR(meta_learner::CheckLearnerArithmetic(
        store->ExperimentFolder(experiment.uid()), meta_learner::CpuArithmetic()));
    Cluster cluster({.actors = options.actors,
                     .threads_per_actor = options.threads_per_actor,
                     .learner_threads = options.learner_threads},
                    store.get(), metrics.get());
    MENTOR_RETURN_IF_ERROR(cluster.Start());
    stopped = Follow(store.get(), options.quiet, &experiment);
  }
  // What was under way when the signal came may have been committed since.
  MENTOR_ASSIGN_OR_RETURN(experiment, store->Get(kName));

  const std::filesystem::path folder = store->ExperimentFolder(experiment.uid());
  MENTOR_ASSIGN_OR_RETURN(const report::ReportData data, ReportDataOf(store.get(), experiment));
  const auto files = report::WriteReport(data, options.out);
  if (stopped) {
    std::printf("Stopped after outer update %d. The same command goes on from there.\n",
                experiment.progress().outer_updates());
  } else if (experiment.state() == v1::Experiment::STATE_FAILED) {
    std::fprintf(stderr, "error: the experiment failed: %s\n",
                 experiment.error().message().c_str());
  } else if (files.ok()) {
    std::printf("%s\n", files->summary.c_str());
  }
  std::printf("Run folder   %s\n", options.out.c_str());
  std::printf("Checkpoints  %s\n", (folder / "checkpoints").c_str());
  if (files.ok()) {
    std::printf("Report       %s\n", files->html.c_str());
  } else {
    std::fprintf(stderr, "warning: no report: %s\n", std::string(files.status().message()).c_str());
  }
  if (const auto hash = HashRun(options.out); hash.ok()) {
    std::printf("Hash         %s (after outer update %d)\n", hash->state_hash.c_str(),
                hash->outer_step);
  }
  if (stopped) return 130;
  return experiment.state() == v1::Experiment::STATE_SUCCEEDED ? 0 : 1;
}

}  // namespace mentor
