// Runs rollout units: a pure function from Unit to Result, with simulators kept warm between calls.
// One object for each worker thread; not thread-safe.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "actor/policy.h"
#include "common/rng.h"
#include "envs/environment.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::actor {

class UnitRunner {
 public:
  // A unit that is wrong or fails gives a result with `error` set; never a crash, and no state is
  // left behind. Resets and steps are pieces of work with pause points (common/pause_point.h).
  v1::Result Run(const v1::Unit& unit);
  // Lets all simulators go.
  void Forget() { environments_.clear(); }
  // CPU time that the last unit's result took to be written into its message.
  double encode_seconds() const { return encode_seconds_; }

 private:
  absl::Status RunInto(const v1::Unit& unit, v1::Result* result);
  // What names the task's simulator: everything but what SetTask chooses.
  static std::string KeyOf(const v1::EnvironmentTask& task);
  // The simulator for the task's environment and options.
  absl::StatusOr<envs::Environment*> Prepare(const v1::EnvironmentTask& task);

  // The policy's action for an observation, [D] to [A], and its log probability.
  void Act(const v1::Unit& unit, const RandomStream& action_noise, uint32_t step,
           std::span<const float> observation, std::span<float> action, float* log_prob);

  Policy policy_;
  std::vector<double> noise_;  // [A]
  double encode_seconds_ = 0;
  std::map<std::string, std::unique_ptr<envs::Environment>> environments_;
};

}  // namespace mentor::actor
