// The environment interface and its catalogue. An environment is one file that implements
// Environment and registers a factory; the conformance suite and `mentor env` then know it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/options.h"
#include "common/registry.h"
#include "common/rng.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::envs {

struct EnvironmentInfo {
  std::string name;
  std::string summary;       // One line: the task and its source.
  int observation_size = 0;  // D
  int action_size = 0;       // A
  int episode_steps = 0;     // M: the episode is truncated after this many steps.
  // Bounds of each action number. Policies sample beyond them; the caller clips first.
  double action_low = -1, action_high = 1;
  // Actions are one of A choices: the greatest of the A numbers, the first among equals. Policies
  // give one-hot vectors.
  bool discrete_actions = false;
  // Every episode has exactly M steps and depends only on task and reset key, so a unit can be one
  // episode.
  bool independent_episodes = true;
  // Each step names the right action (StepOutcome::label).
  bool has_labels = false;
  // SaveState gives everything that RestoreState needs. Without it an episode cannot be
  // interrupted: work elsewhere begins with a reset.
  bool saves_state = true;
};

struct StepOutcome {
  double reward = 0;        // Shaped reward.
  bool success = false;     // Reported after this step.
  bool terminated = false;  // The task ended.
  bool truncated = false;   // Step M of the episode; the task may have ended with it.
  bool failed = false;      // The step had no result and ended the episode (wrapper failed_step).
  // [A]: the right action, from environments that know it; valid until the next call.
  std::span<const float> label = {};
};

// An environment's description of itself where its registration cannot know it: fields as in
// EnvironmentEntry.
struct EnvironmentHelp {
  std::string observation, reward, random, task, source;
};

// One simulator with one task. Not thread-safe: one per worker thread. Models are shared behind it,
// read-only.
class Environment {
 public:
  virtual ~Environment() = default;
  virtual const EnvironmentInfo& info() const = 0;

  // Chooses the task of all later resets. INVALID_ARGUMENT for parameters that the environment
  // refuses.
  virtual absl::Status SetTask(const v1::EnvironmentTask& task) = 0;
  // Begins an episode. random has purpose kEnvironmentReset; episode is its step argument.
  // observation: [D].
  virtual absl::Status Reset(const RandomStream& random, uint32_t episode,
                             std::span<double> observation) = 0;
  // One control step. action: [A], unclipped, finite. A step beyond the end of an episode is
  // FAILED_PRECONDITION. A step without a result (a number that is not finite, an unstable
  // simulation) is OUT_OF_RANGE: task, key and actions alone decide it, and a reset begins anew.
  // INTERNAL errors may be the machine's.
  virtual absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                           std::span<double> observation) = 0;
  // Returns everything that Step needs to continue bit for bit in another process, after SetTask
  // there. FAILED_PRECONDITION where info().saves_state is false.
  virtual absl::StatusOr<std::string> SaveState() const = 0;
  virtual absl::Status RestoreState(std::string_view state, std::span<double> observation) = 0;

  // Terms of the reward and further values of the last step, in a fixed order.
  virtual const std::vector<std::string>& InfoKeys() const;
  virtual std::vector<double> Info() const { return {}; }
  // The action of a hand-written policy that solves the task, in the present state; false where
  // there is none. It may use what the observation hides. action: [A].
  virtual bool ScriptedAction(std::span<float> action) const { return false; }
  // Null where the registration is complete.
  virtual const EnvironmentHelp* help() const { return nullptr; }
  // The environment inside a wrapper (envs/wrapper.h); itself otherwise.
  virtual Environment& unwrapped() { return *this; }
};

// A registration.
struct EnvironmentEntry {
  std::string name;
  std::string summary;
  OptionTable options;
  std::function<absl::StatusOr<std::unique_ptr<Environment>>(const OptionValues&)> make;
  // Returns the parameters of a legal task: number `index` of a random sequence. Environments
  // without parameters need none. Called through DrawTask.
  std::function<std::vector<double>(const OptionValues&, const RandomStream& random,
                                    uint32_t index)>
      draw_parameters = {};
  std::string task_help = "parameters: none";  // The meaning of a task's fields here.
  // For `mentor env show`: the numbers of the observation, the reward and its terms, what is random
  // and when, and the source of the definition.
  std::string observation_help = {}, reward_help = {}, random_help = {}, source = {};
  std::string suite = "Small";  // The group of `mentor env list`.
  // False: no step ever reports success, so nothing can be learned from it.
  bool has_success = true;
  // The same, where options decide it.
  std::function<bool(const OptionValues&)> gives_success = {};
  // It needs something that the experiment brings, so its name alone makes none. Lists of
  // environments that can be made leave it out.
  bool brought = false;
  // False for an environment that came after the catalogue had a hash which recorded results carry.
  // An actor without it refuses its units by name.
  bool in_catalogue_hash = true;
};

// EnvironmentEntry::make of an environment that its options alone make.
template <class Made, class Config>
auto MadeBy(const BoundOptions<Config>& options) {
  return [&options](const OptionValues& values) -> absl::StatusOr<std::unique_ptr<Environment>> {
    return std::make_unique<Made>(options.Read(values));
  };
}

// The catalogue, ordered by name. Filled before main by RegisterEnvironment; read-only afterwards.
const std::vector<const EnvironmentEntry*>& Catalogue();
const EnvironmentEntry* FindEnvironment(std::string_view name);  // nullptr when unknown.
// Environments that their name alone makes.
const std::vector<const EnvironmentEntry*>& CompleteEnvironments();
// A hash of names, options and versions: units may be exchanged between equal hashes.
std::string CatalogueHash();

// NOT_FOUND names the near matches; INVALID_ARGUMENT lists bad options under `field_path`.
absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(
    std::string_view name, const google::protobuf::RepeatedPtrField<v1::Option>& options,
    std::string_view field_path = "task.options");
// The environment of a task, in its wrappers, with the task set.
absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(const v1::EnvironmentTask& task);

// Task number `index` of the environment's own distribution, without its options. For benchmarks
// that draw afresh, the conformance suite and benches.
v1::EnvironmentTask DrawTask(const EnvironmentEntry& entry, const OptionValues& options,
                             const RandomStream& random, uint32_t index);

// True if steps of the task may report success, or where that is unknown. Ignores wrappers.
bool MaySucceed(const v1::EnvironmentTask& task);

// A check of all environments, in the same words. INVALID_ARGUMENT when the task names another
// environment.
absl::Status CheckTaskName(const v1::EnvironmentTask& task, const EnvironmentInfo& info);
// INVALID_ARGUMENT when the span does not have D numbers.
absl::Status CheckObservation(const EnvironmentInfo& info, std::span<const double> observation);
// FAILED_PRECONDITION before the first reset (steps < 0) and beyond the end (steps >= M, or
// `ended`); INVALID_ARGUMENT for an action of wrong length or with a number that is not finite.
absl::Status CheckStep(const EnvironmentInfo& info, int steps, std::span<const float> action,
                       bool ended = false);

// A policy's sample as a simulator sees it: each number clipped to the environment's bounds
// (methods/ppo/README.md#reading-unclipped-density). clipped: [A].
void ClipAction(const EnvironmentInfo& info, std::span<const float> action,
                std::span<float> clipped);

using RegisterEnvironment = Registration<EnvironmentEntry>;

// Bytes of saved states.
//
//   state := magic name_length:u32 name count:u64 number:f64 * count
//
// Little-endian; magic is "MENVST01". All environments write doubles only, so a state is checked in
// one place: that it belongs to the environment, has the length that the environment expects and is
// finite.
std::string EncodeState(std::string_view environment, std::span<const double> numbers);

// Copies the numbers into `out`. INVALID_ARGUMENT names the difference from what was expected. With
// `rest`, other bytes may follow the numbers and are returned there: a wrapper's state is its own
// numbers, then the state of the environment inside.
absl::Status DecodeState(std::string_view environment, std::string_view state, size_t min_count,
                         size_t max_count, std::vector<double>* out,
                         std::string_view* rest = nullptr);

}  // namespace mentor::envs
