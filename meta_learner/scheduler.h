// Runs queued experiments, oldest first, a bounded number at a time, and goes on with those that an
// earlier process left RUNNING. Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "meta_learner/experiment_runner.h"

namespace mentor::meta_learner {

class Scheduler {
 public:
  Scheduler(ExperimentRunner::Options options, int running_max);
  ~Scheduler();

  // Something was created.
  void Wake();
  // Ends an experiment that is CANCELLING soon; one that does not run is CANCELLED at once by the
  // service.
  void Cancel(const std::string& name);
  // Stops the running ones at their last checkpoint; they stay RUNNING and go on after the next
  // start.
  void Stop();

 private:
  struct Job {
    std::atomic<bool> cancel = false;
  };

  void Work();
  // The oldest experiment that nobody runs yet; nothing when stopping.
  std::optional<v1::Experiment> Next(std::shared_ptr<Job>* job);
  // False when the experiment is not for this process: it stays as it is and is not tried again.
  bool RunToEnd(const v1::Experiment& experiment, const Job& job);
  // Waits; false when stopping or cancelled meanwhile.
  bool WaitSeconds(int seconds, const Job& job);

  // Fixed after construction.
  const ExperimentRunner::Options options_;
  ExperimentRunner runner_;
  // Guarded by mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<Job>> jobs_;
  std::set<std::string> left_;  // Experiments that are not for this process.
  bool stopping_ = false;
  uint64_t wakes_ = 0;
  // Last, so that they stop first.
  std::vector<std::thread> threads_;
};

}  // namespace mentor::meta_learner
