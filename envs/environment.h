// The environment interface and its catalogue. An environment is one file that implements
// Environment and registers a factory; the conformance suite and `mentor env` then know it.
#pragma once

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
#include "common/rng.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::envs {

struct EnvironmentInfo {
  std::string name;
  std::string summary;       // One line: what is to be done, and the source.
  int observation_size = 0;  // D
  int action_size = 0;       // A
  int episode_steps = 0;     // M: the episode is truncated after this many steps.
  // Bounds of each action number. Policies sample beyond them; whoever acts clips first.
  double action_low = -1, action_high = 1;
  // Actions are one of A choices: the greatest of the A numbers, the first of equals. Policies give
  // one-hot vectors.
  bool discrete_actions = false;
  // Every episode has exactly M steps and depends only on task and reset key, so a unit can be one
  // episode.
  bool independent_episodes = true;
  // Each step says what its action should have been (StepOutcome::label).
  bool has_labels = false;
  // SaveState gives everything that RestoreState needs. Otherwise an episode cannot be interrupted:
  // what begins elsewhere begins with a reset.
  bool saves_state = true;
};

struct StepOutcome {
  double reward = 0;        // Shaped reward.
  bool success = false;     // Reported after this step.
  bool terminated = false;  // The task ended.
  bool truncated = false;   // Step M of the episode; the task may have ended with it.
  // [A]: what the action should have been, of environments that know it; theirs, and valid until
  // they are called again.
  std::span<const float> label = {};
};

// What an environment says of itself to people, where its registration cannot: fields as in
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
  // FAILED_PRECONDITION; an unstable simulator is INTERNAL and ends the unit.
  virtual absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                           std::span<double> observation) = 0;
  // Everything that Step needs to go on bit for bit in another process, after SetTask there.
  virtual std::string SaveState() const = 0;
  // Why SaveState gave nothing the last time, of an environment that can fail at it.
  virtual absl::Status SaveStatus() const { return absl::OkStatus(); }
  virtual absl::Status RestoreState(std::string_view state, std::span<double> observation) = 0;

  // Terms of the reward and further values of the last step, in a fixed order.
  virtual const std::vector<std::string>& InfoKeys() const;
  virtual std::vector<double> Info() const { return {}; }
  // The action of a hand-written policy that solves the task, for the state now; false where there
  // is none. It may look at what the observation hides. action: [A].
  virtual bool ScriptedAction(std::span<float> action) const { return false; }
  // Null where the registration says it all.
  virtual const EnvironmentHelp* help() const { return nullptr; }
  // What a wrapper (envs/wrapper.h) wraps; itself otherwise.
  virtual Environment& unwrapped() { return *this; }
};

// What is registered.
struct EnvironmentEntry {
  std::string name;
  std::string summary;
  OptionTable options;
  std::function<absl::StatusOr<std::unique_ptr<Environment>>(const OptionValues&)> make;
  // A legal task, without its options: number `index` of a random sequence. Not needed by
  // environments without parameters. Called through DrawTask.
  std::function<v1::EnvironmentTask(const OptionValues&, const RandomStream& random,
                                    uint32_t index)>
      draw_task = {};
  std::string task_help = "parameters: none";  // What the fields of a task mean here.
  // For `mentor env show`: what the numbers of the observation are, the reward and its terms, what
  // is drawn at random and when, and where the definition stands.
  std::string observation_help = {}, reward_help = {}, random_help = {}, source = {};
  std::string suite = "Small";  // Under which `mentor env list` shows it.
  // False: no step ever reports success, so nothing can be learned from success there.
  bool has_success = true;
  // The same of environments whose options decide it.
  std::function<bool(const OptionValues&)> gives_success = {};
  // It needs something that the experiment brings, so its name alone makes none: lists of all that
  // can be made leave it out.
  bool brought = false;
};

// The catalogue, ordered by name. Filled before main by RegisterEnvironment; read-only afterwards.
const std::vector<const EnvironmentEntry*>& Catalogue();
const EnvironmentEntry* FindEnvironment(std::string_view name);  // nullptr when unknown.
// Those that are made by their name alone.
const std::vector<const EnvironmentEntry*>& CompleteEnvironments();
// Hash of names, options and versions: equal hashes mean that units may be exchanged.
std::string CatalogueHash();

// NOT_FOUND names the near matches; INVALID_ARGUMENT lists bad options under `field_path`.
absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(
    std::string_view name, const google::protobuf::RepeatedPtrField<v1::Option>& options,
    std::string_view field_path = "task.options");
// The environment of a task, in its wrappers, with the task set.
absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(const v1::EnvironmentTask& task);

// Task number `index` of the environment's own distribution, without its options. Benchmarks that
// draw afresh, the conformance suite and benches take their tasks from here.
v1::EnvironmentTask DrawTask(const EnvironmentEntry& entry, const OptionValues& options,
                             const RandomStream& random, uint32_t index);

// Whether steps of the task may report success; true where that is not known. Wrappers aside.
bool MaySucceed(const v1::EnvironmentTask& task);

// Checks that every environment makes in the same words.
// INVALID_ARGUMENT when the task names another environment.
absl::Status CheckTaskName(const v1::EnvironmentTask& task, const EnvironmentInfo& info);
// INVALID_ARGUMENT when the span does not have D numbers.
absl::Status CheckObservation(const EnvironmentInfo& info, std::span<const double> observation);
// FAILED_PRECONDITION before the first reset (steps < 0) and beyond the end (steps >= M, or
// `ended`); INVALID_ARGUMENT for an action of wrong length or with a number that is not finite.
absl::Status CheckStep(const EnvironmentInfo& info, int steps, std::span<const float> action,
                       bool ended = false);

// What a simulator sees of a policy's sample: each number clipped to the environment's bounds
// (docs/algorithms/ppo.md#reading-unclipped-density). clipped: [A].
void ClipAction(const EnvironmentInfo& info, std::span<const float> action,
                std::span<float> clipped);

struct RegisterEnvironment {
  explicit RegisterEnvironment(EnvironmentEntry entry);
};

}  // namespace mentor::envs
