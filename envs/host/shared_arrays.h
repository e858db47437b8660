// The memory that an actor shares with a host: the action of a step goes one way, what came of it
// the other. Its size is sealed, so no host can take it away under the actor; whatever a host
// writes later is read once, after its answer, and checked afterwards. One thread.
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

  // Before a question: what a host does not write then is no number and no flag.
  void Spoil();
  void SetAction(std::span<const float> action);
  // After an answer: copies. INVALID_ARGUMENT for a number that is not finite.
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
