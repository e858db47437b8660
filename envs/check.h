// What every environment promises, as a library of checks in plain words: the conformance tests
// call them for the whole catalogue, `mentor env check` for a bundle or a host. Each check makes
// its own instances and says what is wrong; an empty list is a promise kept. Threads may share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "envs/environment.h"

namespace mentor::envs {

// What is to be checked.
struct Subject {
  std::string name;
  std::function<absl::StatusOr<std::unique_ptr<Environment>>()> make;
  std::function<v1::EnvironmentTask(uint32_t index)> task;
};
// A registered environment with options, in wrappers.
Subject SubjectOf(const EnvironmentEntry& entry,
                  const google::protobuf::RepeatedPtrField<v1::Option>& options,
                  const google::protobuf::RepeatedPtrField<v1::WrapperSpec>& wrappers);

using Complaints = std::vector<std::string>;

// Everything that came out of an episode, in order: to be compared bit for bit.
struct Trace {
  std::vector<double> numbers;
  std::string error;
  bool operator==(const Trace&) const = default;
};

// Actions beyond the usual limits, from a slow tour with noise: [steps][A]. Of a whole episode; of
// a long one the first 10,000 steps, or fewer where observations are wide, but at least 100.
std::vector<std::vector<float>> CheckActions(const EnvironmentInfo& info, uint32_t number);
RandomStream CheckStream(uint32_t lifetime);
// One episode of task number `task`, reset stream and actions number `lifetime`.
Trace CheckEpisode(const Subject& subject, Environment& environment, uint32_t task,
                   uint32_t lifetime, uint32_t episode);
// SHA-256 of one episode: the same in every process, or the error that ended it.
std::string EpisodeDigest(const Subject& subject);

// Shapes, finite numbers, episodes of the promised length with the right kind of end, and an error
// beyond it.
Complaints CheckShapes(const Subject& subject);
// The same episode has the same bits: in a fresh instance, after others, and in threads.
Complaints CheckSameBits(const Subject& subject);
// A saved state goes on bit for bit, in a fresh and in a used instance. Nothing to check where
// info().saves_state is false.
Complaints CheckSavedStates(const Subject& subject);
// Bad calls are refused and leave the episode as it was.
Complaints CheckBadCalls(const Subject& subject);
// States that are cut, altered, of another task, or of the `foreign` environments are refused.
Complaints CheckBadStates(const Subject& subject, const std::vector<Subject>& foreign);
// So many steps of random actions within the bounds, in as many episodes as it takes, give finite
// numbers.
struct RandomSteps {
  Complaints complaints;
  int steps = 0;
  int successes = 0;  // Steps that reported success.
};
RandomSteps CheckManySteps(const Subject& subject, int steps);
// What they say of success, for people: an environment whose success is never true is legal, and
// hardly meant.
std::string SuccessSentence(const RandomSteps& random);

// The report of a command.
struct Promise {
  std::string what;  // "the same bits in threads"
  Complaints complaints;
  bool left_out = false;  // It does not promise that.
};
struct CheckReport {
  std::vector<Promise> promises;
  RandomSteps random;
  bool may_succeed = true;      // As the environment says.
  double steps_per_second = 0;  // One thread, resets among them; 0: nothing ran.
  bool kept() const;
  std::string text;  // For people.
};
// other_process: EpisodeDigest of the same subject in a process of its own; an error is a
// complaint.
CheckReport CheckEnvironment(const Subject& subject,
                             const std::function<absl::StatusOr<std::string>()>& other_process);

}  // namespace mentor::envs
