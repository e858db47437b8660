// An experiment's progress for people: rates, time left, and what it waits for. No result depends
// on it. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "mentor/v1/experiment.pb.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/fleet/shard_verdict.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class ProgressReporter {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    Records* records = nullptr;  // Outlives the reporter.
    std::string experiment;
    uint32_t outer_updates_total = 0;
    std::function<Clock::time_point()> now = Clock::now;
  };
  explicit ProgressReporter(Options options);

  // Sets the finished outer updates; the last one took `seconds` (0: another process made it).
  void SetTrained(uint32_t outer_updates, uint64_t env_steps, double seconds);
  // Sets all steps of training so far. Call it when a round's shards are complete.
  void SetSteps(uint64_t env_steps) { env_steps_ = env_steps; }
  // No outer updates follow those that are made.
  void EndTraining() { outer_updates_total_ = outer_updates_; }
  // Counts an evaluation to come into the time left, as if its steps took as long as training's.
  void ExpectEvaluation(uint64_t env_steps) { evaluation_steps_ = env_steps; }
  // Begins the evaluation, which counts its lifetimes in *evaluated().
  void BeginEvaluation(uint32_t lifetimes_total);
  EvaluationCount* evaluated() { return &evaluated_; }

  // `shards`: the work under way, whose steps are not set yet.
  v1::Progress Now(const RunProgress& shards);
  // Into the store.
  void Report(const std::string& activity, const RunProgress& shards);
  // The same while learners work: the activity says what it waits for.
  void ReportWork(const std::string& activity, const RunProgress& shards);

 private:
  struct Look {
    Clock::time_point time;
    uint64_t steps = 0;  // Training and evaluation together.
  };

  // env_steps: of training and evaluation.
  double Rate(uint64_t env_steps);
  double SecondsSince(Clock::time_point start) const;
  double SecondsLeft() const;

  const Options options_;
  uint32_t outer_updates_ = 0, outer_updates_total_;
  uint64_t env_steps_ = 0;
  double seconds_per_update_ = 0;
  uint64_t evaluation_steps_ = 0;  // Expected.
  uint32_t evaluation_total_ = 0;
  EvaluationCount evaluated_;
  Clock::time_point evaluation_start_;
  // The rate counts from the first look; each has more steps than the one before.
  std::deque<Look> looks_;
  Clock::time_point last_look_;
  double rate_ = 0;
  bool waits_ = false;  // For learners or actors.
};

}  // namespace mentor::meta_learner
