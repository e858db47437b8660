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

SettledResets& SettledResets::Instance() {
  static SettledResets resets;
  return resets;
}

std::shared_ptr<const std::string> SettledResets::Find(const std::string& key) {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  auto used = by_use_.extract(found->second.last_use);
  used.key() = found->second.last_use = ++uses_;
  by_use_.insert(std::move(used));
  return found->second.state;
}

void SettledResets::Add(const std::string& key, std::string state) {
  const MutexLock lock(mutex_);
  const auto [entry, added] = entries_.try_emplace(key);
  if (!added) return;  // Another thread added the same bytes first.
  entry->second = {std::make_shared<const std::string>(std::move(state)), ++uses_};
  by_use_.emplace(uses_, key);
  if (entries_.size() <= entries_max_) return;
  entries_.erase(by_use_.begin()->second);
  by_use_.erase(by_use_.begin());
}

void SettledResets::Clear() {
  const MutexLock lock(mutex_);
  entries_.clear();
  by_use_.clear();
}

size_t SettledResets::size() const {
  const MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace mentor::envs
