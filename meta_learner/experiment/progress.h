// How far an experiment is, for people: rates, time left, and who is waited for. Nothing of a
// result depends on it. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "mentor/v1/experiment.pb.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/fleet/shard_board.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class ProgressReporter {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    ExperimentStore* store = nullptr;  // Outlives the reporter.
    std::string experiment;
    uint32_t outer_updates_total = 0;
    std::function<Clock::time_point()> now = Clock::now;
  };
  explicit ProgressReporter(Options options);

  // So many outer updates are done, the last of them in `seconds` (0: not in this process).
  void SetTrained(uint32_t outer_updates, uint64_t env_steps, double seconds);
  // A round's shards are complete: all steps of training so far, theirs included.
  void SetSteps(uint64_t env_steps) { env_steps_ = env_steps; }
  // The evaluation begins; it counts its lifetimes in *evaluated().
  void BeginEvaluation(uint32_t lifetimes_total);
  EvaluationCount* evaluated() { return &evaluated_; }

  // shards: of those at work, whose steps nobody has set yet.
  v1::Progress Now(const BrokerProgress& shards);
  // Into the store.
  void Report(const std::string& activity, const BrokerProgress& shards);
  // The same while learners are at work: the activity says whom it waits for.
  void ReportWork(const std::string& activity, const BrokerProgress& shards);

 private:
  struct Look {
    Clock::time_point time;
    uint64_t steps = 0;  // Of training and evaluation.
  };

  // env_steps: of training and evaluation.
  double Rate(uint64_t env_steps);
  double SecondsSince(Clock::time_point start) const;
  double SecondsLeft() const;

  const Options options_;
  uint32_t outer_updates_ = 0;
  uint64_t env_steps_ = 0;
  double seconds_per_update_ = 0;
  uint32_t evaluation_total_ = 0;
  EvaluationCount evaluated_;
  Clock::time_point evaluation_start_;
  // The first one is where the rate is counted from; each has more steps than the one before.
  std::deque<Look> looks_;
  Clock::time_point last_look_;
  double rate_ = 0;
  bool waits_ = false;  // For learners or actors.
};

}  // namespace mentor::meta_learner
