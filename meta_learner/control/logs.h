// Keeps the meta-learner's log lines about an experiment in the experiment's folder, for its users.
// The file log.jsonl has one JSON object per line, and log.1.jsonl has the lines before it.
// Thread-safe.
#pragma once

#include <deque>
#include <string>
#include <thread>
#include <utility>

#include <absl/status/statusor.h>

#include "common/mutex.h"
#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/streams.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// Observes the process's log while it lives. Only one may exist at a time.
class ExperimentLogs {
 public:
  ExperimentLogs(Records* records, RunFiles* files);
  ~ExperimentLogs();

 private:
  void Work();
  void Append(const std::string& experiment, const std::string& line);

  Records* const records_;
  RunFiles* const files_;
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::pair<std::string, std::string>> lines_
      ABSL_GUARDED_BY(mutex_);  // (experiment, line).
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Last member, so that it stops first.
  std::thread thread_;
};

// Streams the kept lines and, with `follow`, new lines until the experiment ends.
absl::StatusOr<PullStream<v1::WatchLogsResponse>::Produce> WatchLogs(
    Records* records, RunFiles* files, const v1::WatchLogsRequest& request);

}  // namespace mentor::meta_learner
