// Base of wrappers that add numbers to the observation or keep numbers through an episode. It
// splits the observation and carries the numbers in saved states; the derived class updates them in
// each step. Not thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "envs/wrapper.h"

namespace mentor::envs {

class EpisodeWrapper : public Wrapper {
 public:
  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) final;
  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) final;
  // numbers := state*, then the state of the inner environment.
  absl::StatusOr<std::string> SaveState() const final;
  absl::Status RestoreState(std::string_view state, std::span<double> observation) final;

 protected:
  // Adds `extra` numbers behind the observation and keeps `state` numbers, zeros at each reset.
  EpisodeWrapper(std::unique_ptr<Environment> inner, std::string name, int extra, int state);

  // Called after a successful step; may change state() and the outcome.
  virtual void After(std::span<const float> action, StepOutcome* outcome) {}
  virtual void Append(std::span<double> extra) const {}
  // True if these restored numbers are possible; the base has checked that they are finite.
  virtual bool IsLegal(std::span<const double> state) const { return true; }

  std::span<double> state() { return state_; }
  std::span<const double> state() const { return state_; }

 private:
  std::span<double> Inner(std::span<double> observation) const;
  void AppendTo(std::span<double> observation) const;

  const std::string name_;
  const size_t extra_;
  std::vector<double> state_;
};

}  // namespace mentor::envs
