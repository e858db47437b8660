// Checks of every environment's promises, as a library in plain words. The conformance tests run
// them on the whole catalogue, `mentor env check` on a bundle or a simulator. Each check makes its
// own instances and returns complaints; an empty list is a kept promise. Threads may share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "envs/environment.h"

namespace mentor::envs {

// The environment under test.
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

// All results of an episode, in order, for comparison bit for bit.
struct Trace {
  std::vector<double> numbers;
  std::string error;
  bool operator==(const Trace&) const = default;
};

// Actions beyond the usual limits, from a slow tour with noise: [steps][A]. They cover a whole
// episode, or of a long one the first 10,000 steps. Wide observations get fewer steps, at least
// 100.
std::vector<std::vector<float>> CheckActions(const EnvironmentInfo& info, uint32_t number);
RandomStream CheckStream(uint32_t lifetime);
// One episode of task number `task`, reset stream and actions number `lifetime`.
Trace CheckEpisode(const Subject& subject, Environment& environment, uint32_t task,
                   uint32_t lifetime, uint32_t episode);
// SHA-256 of one episode: the same in every process, or the error that ended it.
std::string EpisodeDigest(const Subject& subject);

// Checks shapes, finite numbers, episodes of the promised length with the right kind of end, and an
// error beyond it.
Complaints CheckShapes(const Subject& subject);
// Checks that the same episode has the same bits: in a fresh instance, after others, and in
// threads.
Complaints CheckSameBits(const Subject& subject);
// Checks that a saved state continues bit for bit, in a fresh and in a used instance. Checks
// nothing where info().saves_state is false.
Complaints CheckSavedStates(const Subject& subject);
// Checks that bad calls are refused and leave the episode as it was.
Complaints CheckBadCalls(const Subject& subject);
// Checks that states which are cut, altered, or of another task or `foreign` environment are
// refused.
Complaints CheckBadStates(const Subject& subject, const std::vector<Subject>& foreign);
// Makes random actions within the bounds, in as many episodes as needed, and checks that all
// numbers are finite.
struct RandomSteps {
  Complaints complaints;
  int steps = 0;
  int successes = 0;  // Steps that reported success.
  int ended = 0;      // Episodes.
  int cut_early = 0;  // Episodes truncated before the limit of steps.
};
RandomSteps CheckManySteps(const Subject& subject, int steps);
// True for an environment that comes with Mentor, which says rightly whether it may succeed.
bool IsBuiltIn(std::string_view environment);
// Their success rate, for people. An environment without any success is legal, but hardly meant.
// built_in: all environments are known to report success, if rarely before agents learn.
std::string SuccessSentence(const RandomSteps& random, bool built_in);

// The report of a command.
struct Promise {
  std::string what;  // "the same bits in threads"
  Complaints complaints;
  bool left_out = false;  // The environment does not promise it.
};
struct CheckReport {
  std::vector<Promise> promises;
  RandomSteps random;
  bool may_succeed = true;      // By the environment's own word.
  bool built_in = false;        // It comes with Mentor.
  double steps_per_second = 0;  // One thread, resets among them; 0: nothing ran.
  bool kept() const;
  std::string text;  // For people.
};
// other_process: EpisodeDigest of the same subject in another process; an error is a complaint.
CheckReport CheckEnvironment(const Subject& subject,
                             const std::function<absl::StatusOr<std::string>()>& other_process);

}  // namespace mentor::envs
