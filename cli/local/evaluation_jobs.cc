#include "cli/local/evaluation_jobs.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include <absl/status/status.h>

#include "common/check.h"
#include "common/file.h"
#include "common/lifecycle.h"
#include "common/mutex.h"
#include "common/progress_bar.h"

namespace mentor {

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

}  // namespace mentor
