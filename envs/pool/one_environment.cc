// What EnvironmentPool does with one of its environments.
#include <bit>
#include <cstring>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "envs/pool/environment_pool.h"
#include "envs/pool/pool_use.h"

namespace mentor::envs {
namespace {

static_assert(std::endian::native == std::endian::little);

absl::Status NoState(std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "state: ", std::string(why), "; give what save_state() of the same environment returned"));
}

}  // namespace

absl::StatusOr<MuJoCoEnvironment*> EnvironmentPool::MuJoCoOf(int index) {
  auto* environment = dynamic_cast<MuJoCoEnvironment*>(&slots_[index].environment->unwrapped());
  if (environment != nullptr) return environment;
  return absl::FailedPreconditionError(
      absl::StrCat(entry_.name, " does not run on MuJoCo: it has no simulator to ask"));
}

// A saved state:
//   task_bytes (uint32, little-endian)  task (EnvironmentTask)  ended (uint8)  state
absl::StatusOr<std::string> EnvironmentPool::SaveState(int index) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, PoolUse::Begin(process_, &in_use_));
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  const Slot& slot = slots_[index];
  if (!slot.begun) return absl::FailedPreconditionError("no episode has begun: call reset() first");
  MENTOR_ASSIGN_OR_RETURN(const std::string state, slot.environment->SaveState());
  const std::string task = slot.task.SerializeAsString();
  const auto task_bytes = static_cast<uint32_t>(task.size());
  std::string saved(sizeof(task_bytes), '\0');
  std::memcpy(saved.data(), &task_bytes, sizeof(task_bytes));
  absl::StrAppend(&saved, task, std::string(1, static_cast<char>(slot.ended)), state);
  return saved;
}

absl::Status EnvironmentPool::RestoreState(int index, std::string_view saved) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, PoolUse::Begin(process_, &in_use_));
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  uint32_t task_bytes = 0;
  if (saved.size() < sizeof(task_bytes)) return NoState("is too short");
  std::memcpy(&task_bytes, saved.data(), sizeof(task_bytes));
  saved.remove_prefix(sizeof(task_bytes));
  if (saved.size() < size_t{task_bytes} + 1) return NoState("is too short");
  v1::EnvironmentTask task;
  if (!task.ParseFromArray(saved.data(), static_cast<int>(task_bytes)))
    return NoState("has no task");
  const char ended = saved[task_bytes];
  if (ended != 0 && ended != 1) return NoState("has a strange mark");
  saved.remove_prefix(size_t{task_bytes} + 1);
  Slot& slot = slots_[index];
  slot.begun = false;
  MENTOR_RETURN_IF_ERROR(slot.environment->SetTask(task));
  MENTOR_RETURN_IF_ERROR(
      slot.environment->RestoreState(saved, Row(observations_, index, info_.observation_size)));
  Clear(index);
  slot.task = std::move(task);
  slot.begun = true;
  slot.ended = ended == 1;
  return absl::OkStatus();
}

absl::Status EnvironmentPool::ResetTo(int index, std::span<const double> positions,
                                      std::span<const double> velocities) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, PoolUse::Begin(process_, &in_use_));
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * environment, MuJoCoOf(index));
  Slot& slot = slots_[index];
  if (!slot.begun) slot.task = TaskOf(slot);
  slot.begun = false;
  MENTOR_RETURN_IF_ERROR(slot.environment->SetTask(slot.task));
  MENTOR_RETURN_IF_ERROR(environment->ResetTo(positions, velocities,
                                              Row(observations_, index, info_.observation_size)));
  Clear(index);
  slot.begun = true;
  slot.ended = false;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<double>> EnvironmentPool::SimulatorState(int index) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, PoolUse::Begin(process_, &in_use_));
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * environment, MuJoCoOf(index));
  return environment->SimulatorState();
}

absl::Status EnvironmentPool::SetSimulatorState(int index, std::span<const double> state) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, PoolUse::Begin(process_, &in_use_));
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * environment, MuJoCoOf(index));
  return environment->SetSimulatorState(state);
}

absl::StatusOr<std::vector<double>> EnvironmentPool::PositionsAndVelocities(int index) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, PoolUse::Begin(process_, &in_use_));
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * environment, MuJoCoOf(index));
  return environment->PositionsAndVelocities();
}

absl::StatusOr<std::vector<float>> EnvironmentPool::ScriptedAction(int index) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, PoolUse::Begin(process_, &in_use_));
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  if (!slots_[index].begun)
    return absl::FailedPreconditionError("no episode has begun: call reset() first");
  std::vector<float> action(info_.action_size);
  if (slots_[index].environment->ScriptedAction(action)) return action;
  return absl::FailedPreconditionError(
      absl::StrCat(entry_.name, " has no policy by hand; 'mentor env show' says which have"));
}

absl::StatusOr<Simulation*> EnvironmentPool::SimulationOf(int index) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, PoolUse::Begin(process_, &in_use_));
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * environment, MuJoCoOf(index));
  return &environment->simulation();
}

double EnvironmentPool::StepSeconds() {
  const absl::StatusOr<MuJoCoEnvironment*> environment = MuJoCoOf(0);
  if (!environment.ok()) return 0;
  return (*environment)->frame_skip() * (*environment)->simulation().model()->opt.timestep;
}

}  // namespace mentor::envs
