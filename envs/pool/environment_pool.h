// Many environments of one kind, or of the classes of a benchmark in turn, stepped together by
// threads, with their numbers in batches: what gymnasium.make_vec makes (python/mentor). Episodes
// have the same bits for any number of environments and of threads: each environment has its own
// seed, and counts its own episodes.
//
// One thread at a time may call; a second one is told so. The caller's thread works, too: with one
// thread nothing is handed over.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/options.h"
#include "envs/benchmark.h"
#include "envs/environment.h"
#include "envs/mujoco_environment.h"

namespace mentor::envs {

// Marks a pool of environments as in use for the length of a call.
class PoolUse {
 public:
  // FAILED_PRECONDITION in another process than `process`, and while another call is in progress.
  static absl::StatusOr<PoolUse> Begin(pid_t process, std::atomic<bool>* in_use) {
    if (getpid() != process) {
      return absl::FailedPreconditionError(
          "these environments were made before this process was forked, and their threads stayed "
          "behind; make them in the new process, or start it by 'spawn'");
    }
    if (in_use->exchange(true)) {
      return absl::FailedPreconditionError(
          "another thread is using these environments; give each thread environments of its own");
    }
    return PoolUse(in_use);
  }
  PoolUse(PoolUse&& other) noexcept : in_use_(std::exchange(other.in_use_, nullptr)) {}
  ~PoolUse() {
    if (in_use_ != nullptr) *in_use_ = false;
  }

 private:
  explicit PoolUse(std::atomic<bool>* in_use) : in_use_(in_use) {}
  std::atomic<bool>* in_use_;
};

// When the next episode begins, in the words of Gymnasium's vector environments.
enum class Autoreset {
  kNextStep,  // The step after the last one resets; its action is not used.
  kSameStep,  // The last step resets, too; its own observation and numbers are the final ones.
  kDisabled,  // The caller resets.
};

// Which task an episode has.
struct TaskChoice {
  // Number of the fixed list of goals; absent: a fresh task for each episode, by seed and episode,
  // or one drawn from the list of the environment's class.
  std::optional<uint32_t> goal = {};
  // The task's numbers themselves; wins over `goal`.
  std::optional<std::vector<double>> parameters = {};
};

class EnvironmentPool {
 public:
  struct Options {
    std::string environment = {};
    // In place of `environment`: environment i has class i modulo their number, whose tasks are a
    // list with wrappers of its own. Sizes and keys of infos are those of the first.
    std::vector<TaskSet> classes = {};
    google::protobuf::RepeatedPtrField<v1::Option> options = {};
    google::protobuf::RepeatedPtrField<v1::WrapperSpec> wrappers = {};
    // Absent: the task decides, and Meta-World shows goals.
    std::optional<bool> goal_visible = {};
    uint32_t goal_seed = 1;  // The list of goals has this seed.
    int size = 1;            // N
    int threads = 1;
    // Send and Recv are used: as many threads work while the caller does something else.
    bool asynchronous = false;
    Autoreset autoreset = Autoreset::kNextStep;
  };
  // NOT_FOUND names near matches; INVALID_ARGUMENT names the option.
  static absl::StatusOr<std::unique_ptr<EnvironmentPool>> Make(Options options);
  ~EnvironmentPool();
  EnvironmentPool(const EnvironmentPool&) = delete;
  EnvironmentPool& operator=(const EnvironmentPool&) = delete;

  const EnvironmentInfo& info() const { return info_; }
  const std::vector<std::string>& info_keys() const { return info_keys_; }
  int size() const { return options_.size; }

  // Begins episodes of the environments where `mask` [N] is not 0; an empty mask means all. seeds:
  // [N], or empty to go on with the last ones, which then must be there. The choice stays until the
  // next Reset of that environment.
  absl::Status Reset(std::span<const uint64_t> seeds, std::span<const uint8_t> mask,
                     const TaskChoice& choice);
  // The same without waiting: Recv says which are ready.
  absl::Status SendReset(std::span<const uint64_t> seeds, std::span<const uint8_t> mask,
                         const TaskChoice& choice);
  // One step of all environments. actions: [N, A], finite; a discrete environment takes one-hot
  // vectors. An error names the environment's number; all others have made their step. That
  // environment needs a Reset.
  absl::Status Step(std::span<const float> actions);

  // Lets the environments `ids` step, or reset where their episode has ended. actions: [ids, A].
  // FAILED_PRECONDITION for one that is still at work.
  absl::Status Send(std::span<const float> actions, std::span<const int32_t> ids);
  // Waits until ids.size() environments are ready, and says which.
  absl::Status Recv(std::span<int32_t> ids);
  int at_work() const { return at_work_; }

  // Ends the threads and frees the environments; nothing but the batches may be used then.
  absl::Status Close();

  // --- One environment; none may be at work. ---
  // Everything that RestoreState needs, in a pool of the same environment anywhere.
  absl::StatusOr<std::string> SaveState(int index);
  // INVALID_ARGUMENT for a state that is not one. Writes the observation.
  absl::Status RestoreState(int index, std::string_view state);
  // Begins an episode at given positions and velocities. FAILED_PRECONDITION where the environment
  // does not run on MuJoCo, UNIMPLEMENTED where a reset is a function of the task.
  absl::Status ResetTo(int index, std::span<const double> positions,
                       std::span<const double> velocities);
  // mjSTATE_INTEGRATION, and qpos with qvel behind it.
  absl::StatusOr<std::vector<double>> SimulatorState(int index);
  absl::Status SetSimulatorState(int index, std::span<const double> state);
  absl::StatusOr<std::vector<double>> PositionsAndVelocities(int index);
  // The action [A] of the policy by hand; FAILED_PRECONDITION where there is none.
  absl::StatusOr<std::vector<float>> ScriptedAction(int index);
  // For drawing. Valid until the next call.
  absl::StatusOr<Simulation*> SimulationOf(int index);
  // Simulated seconds of a step; 0 without a simulator.
  double StepSeconds();

  // Batches; the next call writes them again. K: numbers of the info.
  std::span<double> observations() { return observations_; }              // [N, D]
  std::span<double> rewards() { return rewards_; }                        // [N]
  std::span<uint8_t> terminated() { return terminated_; }                 // [N]
  std::span<uint8_t> truncated() { return truncated_; }                   // [N]
  std::span<uint8_t> successes() { return successes_; }                   // [N]
  std::span<double> infos() { return infos_; }                            // [N, K]
  std::span<double> final_observations() { return final_observations_; }  // [N, D], kSameStep
  std::span<double> final_infos() { return final_infos_; }                // [N, K], kSameStep
  std::span<uint8_t> final_successes() { return final_successes_; }       // [N], kSameStep

 private:
  struct Slot {
    std::unique_ptr<Environment> environment;
    RandomStream stream = {};
    uint32_t episode = 0;
    TaskChoice choice = {};
    v1::EnvironmentTask task = {};  // The present episode has it.
    bool seeded = false;            // A Reset gave it a seed.
    bool begun = false;             // It has had a Reset, and no error since.
    bool ended = false;             // Its episode has ended.
    bool at_work = false;           // Between Send and Recv.
    bool resetting = false;         // Its work is a reset that the caller asked for.
    absl::Status status = {};
  };

  EnvironmentPool(Options options, const EnvironmentEntry& entry);

  absl::Status Begin();
  // INVALID_ARGUMENT for more environments than memory holds, reckoned by the first one.
  absl::Status CheckMemory() const;
  // Each call holds it. FAILED_PRECONDITION also once the pool is closed.
  absl::StatusOr<PoolUse> Use();
  v1::EnvironmentTask TaskOf(int index) const;
  // The environment in the wrappers of its class and in those of the options.
  absl::StatusOr<std::unique_ptr<Environment>> MakeOne(size_t index) const;
  // Whether observations show the goal; nothing where environments know no such choice.
  std::optional<bool> GoalVisible() const;
  absl::StatusOr<MuJoCoEnvironment*> MuJoCoOf(int index);
  // Fills lists_ where the goals are a list, and checks the choice.
  absl::Status CheckChoice(const TaskChoice& choice);
  absl::Status CheckIdle() const;
  // Publishes resets; returns their environments.
  absl::StatusOr<std::vector<int32_t>> BeginResets(std::span<const uint64_t> seeds,
                                                   std::span<const uint8_t> mask,
                                                   const TaskChoice& choice);
  absl::Status CheckActions(std::span<const float> actions, size_t count) const;
  absl::Status BeginEpisode(int index);
  void Clear(int index);
  void EndThreads();
  absl::Status StepOne(int index);
  void Work(int index);
  void Loop();
  void Publish(std::span<const int32_t> ids);
  bool WorkOnOne();
  int32_t NextReady();
  // The error of the first of them that has one.
  absl::Status FirstError(std::span<const int32_t> ids) const;
  std::span<double> Row(std::vector<double>& batch, int index, size_t width) {
    return std::span(batch).subspan(index * width, width);
  }

  // Fixed after construction.
  const Options options_;
  const EnvironmentEntry& entry_;
  OptionValues option_values_;
  EnvironmentInfo info_;
  std::vector<std::string> info_keys_;
  const pid_t process_;
  std::vector<int32_t> all_;  // 0 to N - 1

  // The fixed lists of the classes, or that of the only environment; none: DrawTask's sequence.
  std::vector<TaskSet> lists_;
  // Slots and rows of the batches belong to the thread that works on their environment.
  std::vector<Slot> slots_;
  std::vector<float> actions_;  // [N, A]
  std::vector<double> observations_, rewards_, infos_, final_observations_, final_infos_;
  std::vector<uint8_t> terminated_, truncated_, successes_, final_successes_;

  // Work to do and work done, as rings of N numbers of environments. Each environment is in one of
  // them at most once.
  std::vector<std::atomic<int32_t>> work_, ready_;
  std::atomic<uint64_t> work_end_ = 0, work_begin_ = 0, ready_end_ = 0;
  std::atomic<uint32_t> wake_ = 0;  // Grows with new work and at the end.
  uint64_t ready_begin_ = 0;
  int at_work_ = 0;
  bool closed_ = false;  // A call reads it while it holds a PoolUse.
  std::atomic<bool> in_use_ = false, stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace mentor::envs
