#include "envs/mujoco_environment.h"

#include <absl/strings/str_cat.h>

namespace mentor::envs {

absl::Status MuJoCoEnvironment::ResetTo(std::span<const double>, std::span<const double>,
                                        std::span<double>) {
  return absl::UnimplementedError(
      absl::StrCat(info().name, " begins its episodes where its task says"));
}

std::vector<double> MuJoCoEnvironment::SimulatorState() {
  std::vector<double> state(simulation().state_size());
  simulation().GetState(state);
  return state;
}

absl::Status MuJoCoEnvironment::SetSimulatorState(std::span<const double> state) {
  if (state.size() != static_cast<size_t>(simulation().state_size())) {
    return absl::InvalidArgumentError(absl::StrCat("simulator state of ", info().name, " has ",
                                                   state.size(), " numbers, expected ",
                                                   simulation().state_size()));
  }
  simulation().SetState(state);
  return absl::OkStatus();
}

std::vector<double> MuJoCoEnvironment::PositionsAndVelocities() {
  const mjModel* m = simulation().model();
  const mjData* d = simulation().data();
  std::vector<double> both(d->qpos, d->qpos + m->nq);
  both.insert(both.end(), d->qvel, d->qvel + m->nv);
  return both;
}

}  // namespace mentor::envs
