// Runs rollout units: a pure function from Unit to Result, which keeps simulators between calls.
// One object per worker thread; not thread-safe.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "actor/actor_policy.h"
#include "common/rng.h"
#include "envs/environment.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::actor {

class UnitRunner {
 public:
  // An invalid or failing unit gives a result with `error` set. It never crashes and leaves no
  // state behind. Resets and steps are pieces of work with pause points (common/pause_point.h).
  v1::Result Run(const v1::Unit& unit);
  // Frees all simulators.
  void Forget() { environments_.clear(); }
  // CPU time, in seconds, of encoding the last unit's result.
  double encode_seconds() const { return encode_seconds_; }

 private:
  absl::Status RunInto(const v1::Unit& unit, v1::Result* result);
  // Returns the key of the task's simulator: everything except what SetTask changes.
  static std::string KeyOf(const v1::EnvironmentTask& task);
  // Returns a simulator for the task's environment and options.
  absl::StatusOr<envs::Environment*> Prepare(const v1::EnvironmentTask& task);

  // Writes the policy's action [A] for an observation [D], and its log-probability.
  void Act(const v1::Unit& unit, const RandomStream& action_noise, uint32_t step,
           std::span<const float> observation, std::span<float> action, float* log_prob);

  Policy policy_;
  std::vector<double> noise_;  // [A]
  double encode_seconds_ = 0;
  bool is_resetting_ = false;  // Says in an error whether a reset or a step failed.
  std::map<std::string, std::unique_ptr<envs::Environment>> environments_;
};

}  // namespace mentor::actor
