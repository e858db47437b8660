// The memory that an actor shares with a simulator: a step's action goes one way, its outcome the
// other. The size is sealed, so no simulator can take the memory away. Answers are copied once,
// after the simulator's reply, and then checked; later writes have no effect. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/environment_host.pb.h"

namespace mentor::envs {

class SharedArrays {
 public:
  static absl::StatusOr<std::unique_ptr<SharedArrays>> Make(const v1::EnvironmentFacts& facts);
  ~SharedArrays();
  SharedArrays(const SharedArrays&) = delete;
  SharedArrays& operator=(const SharedArrays&) = delete;

  int descriptor() const { return descriptor_; }
  v1::AttachMemory layout() const { return layout_; }

  // Call it before a question: what the simulator does not write is then no valid number or flag.
  void Spoil();
  void SetAction(std::span<const float> action);
  // Call it after an answer; copies. OUT_OF_RANGE for a number that is not finite, INVALID_ARGUMENT
  // for one that was not written.
  absl::Status ReadObservation(std::span<double> observation) const;
  struct Outcome {
    double reward = 0;
    bool success = false, terminated = false, truncated = false;
  };
  // The same, and for flags that are neither 0 nor 1.
  absl::StatusOr<Outcome> ReadOutcome() const;

 private:
  SharedArrays() = default;
  char* At(uint64_t offset) const { return memory_ + offset; }

  int descriptor_ = -1;
  char* memory_ = nullptr;
  uint64_t observation_bytes_ = 0;
  v1::AttachMemory layout_;
};

}  // namespace mentor::envs
