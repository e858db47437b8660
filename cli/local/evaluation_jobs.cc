#include "cli/local/evaluation_jobs.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "cli/report/words.h"
#include "common/check.h"
#include "common/file.h"
#include "common/lifecycle.h"
#include "common/mutex.h"
#include "common/progress_bar.h"

namespace mentor {
namespace {

constexpr uint64_t kManySteps = 10'000'000;  // Some ten minutes of a small machine.

}  // namespace

absl::StatusOr<bool> RunEvaluationJobs(const std::vector<meta_learner::EvaluationJob>& jobs,
                                       std::string_view activity, bool quiet, Cluster* cluster) {
  std::atomic<bool> cancel = false, done = false;
  for (const auto& job : jobs) MENTOR_RETURN_IF_ERROR(CheckSimulators(job.owner.benchmark));
  Mutex mutex;
  meta_learner::EvaluationCount count;
  int total = 0;
  for (const auto& job : jobs) total += static_cast<int>(meta_learner::NumLifetimes(job));
  absl::Status status;
  {
    std::jthread worker([&] {
      meta_learner::EvaluationCount own;
      for (const auto& job : jobs) {
        status = MakeFolders(job.folder);
        if (status.ok()) {
          status = meta_learner::RunEvaluation(job, cluster->meta_learner()->board(), cancel, &own,
                                               [&](const meta_learner::RunProgress&) {
                                                 const MutexLock lock(mutex);
                                                 count = own;
                                               });
        }
        const MutexLock lock(mutex);
        count = own;
        if (!status.ok()) break;
      }
      done = true;
    });
    ProgressBar bar;
    while (!done) {
      if (WaitForStopSignal(std::chrono::milliseconds(100)) != 0) {
        cancel = true;
        if (!quiet)
          std::fputs("\nstopping with the updates under way; a second signal ends it at once\n",
                     stderr);
        cluster->meta_learner()->board()->Wake();
        break;
      }
      const MutexLock lock(mutex);
      if (!quiet) bar.Show(activity, static_cast<int>(count.done), total, "lifetimes");
    }
    worker.join();
    if (!quiet) bar.Finish();
  }
  if (cancel && absl::IsCancelled(status)) return true;
  MENTOR_RETURN_IF_ERROR(status);
  return false;
}

void PrintPlan(const std::vector<meta_learner::EvaluationJob>& jobs) {
  uint64_t lifetimes = 0, steps = 0, least = 0;
  for (const meta_learner::EvaluationJob& job : jobs) {
    const v1::ExperimentSpec& spec = job.owner.spec;
    const uint64_t own = meta_learner::NumLifetimes(job);
    const uint64_t life =
        uint64_t{spec.lifetime().iterations()} * spec.lifetime().steps_per_iteration();
    lifetimes += own;
    steps += own * life;
    if (spec.seed() == jobs[0].owner.spec.seed())
      least += own / spec.evaluation().lifetimes_per_goal() * life;
  }
  std::string shorter;
  if (steps >= kManySteps && least < steps) {
    shorter = absl::StrCat("Shorter      --seeds 1 --lifetimes 1: ", report::Grouped(least),
                           " environment steps\n");
  }
  std::printf("%s, %s environment steps\n%s", report::Several(lifetimes, "lifetime").c_str(),
              report::Grouped(steps).c_str(), shorter.c_str());
}

}  // namespace mentor
