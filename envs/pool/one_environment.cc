// What EnvironmentPool does with one of its environments.
#include <bit>
#include <cstring>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/hash.h"
#include "envs/pool/environment_pool.h"

namespace mentor::envs {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kDigestBytes = 32;

absl::Status NoState(std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "state: ", std::string(why), "; give what save_state() of the same environment returned"));
}

template <typename Number>
std::string Bytes(Number number) {
  return {reinterpret_cast<const char*>(&number), sizeof(number)};
}

// Moves a number from the front of `saved`; false if it is too short.
template <typename Number>
bool Take(std::string_view* saved, Number* number) {
  if (saved->size() < sizeof(*number)) return false;
  std::memcpy(number, saved->data(), sizeof(*number));
  saved->remove_prefix(sizeof(*number));
  return true;
}

std::string DigestOf(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

}  // namespace

absl::StatusOr<MuJoCoEnvironment*> EnvironmentPool::MuJoCoOf(int index) {
  auto* environment = dynamic_cast<MuJoCoEnvironment*>(&slots_[index].environment->unwrapped());
  if (environment != nullptr) return environment;
  return absl::FailedPreconditionError(
      absl::StrCat(entry_.name, " does not run on MuJoCo: it has no simulator to ask"));
}

// A saved state, little-endian; the first three decide the episodes after this one:
//   seeded (uint8)  seed (uint64)  episode (uint32)
//   ended (uint8)  task_bytes (uint32)  task (EnvironmentTask)  state
//   SHA-256 (32 bytes) of everything before it
absl::StatusOr<std::string> EnvironmentPool::SaveState(int index) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  const Slot& slot = slots_[index];
  if (!slot.begun) return absl::FailedPreconditionError("no episode has begun: call reset() first");
  MENTOR_ASSIGN_OR_RETURN(const std::string state, slot.environment->SaveState());
  const std::string task = slot.task.SerializeAsString();
  const std::string saved = absl::StrCat(Bytes<uint8_t>(slot.seeded), Bytes(slot.stream.seed),
                                         Bytes(slot.episode), Bytes<uint8_t>(slot.ended),
                                         Bytes(static_cast<uint32_t>(task.size())), task, state);
  return saved + DigestOf(saved);
}

absl::Status EnvironmentPool::RestoreState(int index, std::string_view saved) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  if (saved.size() < kDigestBytes) return NoState("is too short");
  const std::string_view digest = saved.substr(saved.size() - kDigestBytes);
  saved.remove_suffix(kDigestBytes);
  // The episode goes on where it was if the bytes are damaged.
  if (DigestOf(saved) != digest) return NoState("is damaged, or no state: its SHA-256 is wrong");
  uint8_t seeded = 0, ended = 0;
  uint64_t seed = 0;
  uint32_t episode = 0, task_bytes = 0;
  if (!Take(&saved, &seeded) || !Take(&saved, &seed) || !Take(&saved, &episode) ||
      !Take(&saved, &ended) || !Take(&saved, &task_bytes) || saved.size() < task_bytes)
    return NoState("is too short");
  if (seeded > 1 || ended > 1) return NoState("has a strange mark");
  v1::EnvironmentTask task;
  if (!task.ParseFromArray(saved.data(), static_cast<int>(task_bytes)))
    return NoState("has no task");
  saved.remove_prefix(task_bytes);
  if (const auto visible = GoalVisible(); visible && *visible != task.goal_visible()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "state: is of an environment whose observations ", task.goal_visible() ? "show" : "hide",
        " the goal, unlike those of this one; give both the same goal_visible"));
  }
  Slot& slot = slots_[index];
  slot.begun = false;
  MENTOR_RETURN_IF_ERROR(slot.environment->SetTask(task));
  MENTOR_RETURN_IF_ERROR(
      slot.environment->RestoreState(saved, Row(observations_, index, info_.observation_size)));
  Clear(index);
  slot.task = std::move(task);
  slot.stream = {.seed = seed, .purpose = Purpose::kEnvironmentReset};
  slot.episode = episode;
  slot.seeded = seeded == 1;
  slot.begun = true;
  slot.ended = ended == 1;
  return absl::OkStatus();
}

absl::Status EnvironmentPool::ResetTo(int index, std::span<const double> positions,
                                      std::span<const double> velocities) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * environment, MuJoCoOf(index));
  Slot& slot = slots_[index];
  if (!slot.begun) slot.task = TaskOf(index);
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
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * environment, MuJoCoOf(index));
  return environment->SimulatorState();
}

absl::Status EnvironmentPool::SetSimulatorState(int index, std::span<const double> state) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * environment, MuJoCoOf(index));
  return environment->SetSimulatorState(state);
}

absl::StatusOr<std::vector<double>> EnvironmentPool::PositionsAndVelocities(int index) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * environment, MuJoCoOf(index));
  return environment->PositionsAndVelocities();
}

absl::StatusOr<std::vector<float>> EnvironmentPool::ScriptedAction(int index) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  if (!slots_[index].begun)
    return absl::FailedPreconditionError("no episode has begun: call reset() first");
  std::vector<float> action(info_.action_size);
  if (slots_[index].environment->ScriptedAction(action)) return action;
  return absl::FailedPreconditionError(
      absl::StrCat(entry_.name, " has no policy by hand; 'mentor env show' says which have"));
}

absl::StatusOr<Simulation*> EnvironmentPool::SimulationOf(int index) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
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
