#include "python/native/pool.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/native/unlocked.h"

namespace mentor::python {
namespace nb = nanobind;
namespace {

google::protobuf::RepeatedPtrField<v1::Option> Options(const OptionsOfPython& options) {
  google::protobuf::RepeatedPtrField<v1::Option> list;
  for (const auto& [name, value] : options) {
    v1::Option* option = list.Add();
    option->set_name(name);
    option->set_value(value);
  }
  return list;
}

envs::Autoreset AutoresetOf(const std::string& mode) {
  if (mode == "NextStep") return envs::Autoreset::kNextStep;
  if (mode == "SameStep") return envs::Autoreset::kSameStep;
  if (mode == "Disabled") return envs::Autoreset::kDisabled;
  throw nb::value_error("autoreset_mode: give NextStep, SameStep or Disabled");
}

template <typename Number>
nb::object View(std::span<Number> batch, std::vector<size_t> shape, nb::handle owner) {
  return nb::cast(nb::ndarray<nb::numpy, Number>(batch.data(), shape.size(), shape.data(), owner));
}

}  // namespace

void Raise(const absl::Status& status) {
  if (status.ok()) return;
  const std::string message(status.message());
  if (absl::IsInvalidArgument(status) || absl::IsNotFound(status))
    throw nb::value_error(message.c_str());
  throw std::runtime_error(message);
}

Pool::Pool(const std::string& environment, const OptionsOfPython& options,
           const WrappersOfPython& wrappers, std::optional<bool> goal_visible, uint32_t goal_seed,
           int size, int threads, bool asynchronous, const std::string& autoreset) {
  envs::EnvironmentPool::Options wanted{.environment = environment,
                                        .options = Options(options),
                                        .goal_visible = goal_visible,
                                        .goal_seed = goal_seed,
                                        .size = size,
                                        .threads = threads,
                                        .asynchronous = asynchronous,
                                        .autoreset = AutoresetOf(autoreset)};
  for (const auto& [name, values] : wrappers) {
    v1::WrapperSpec* wrapper = wanted.wrappers.Add();
    wrapper->set_name(name);
    *wrapper->mutable_option() = Options(values);
  }
  const Unlocked unlocked;
  pool_ = ValueOrRaise(envs::EnvironmentPool::Make(std::move(wanted)));
}

envs::EnvironmentPool& Pool::pool() {
  if (closed_) throw std::runtime_error("these environments are closed; make new ones");
  return *pool_;
}

void Pool::CheckIndex(int index) {
  if (index < 0 || index >= pool().size())
    throw nb::index_error(absl::StrCat("index: ", index, " of ", pool().size()).c_str());
}

nb::dict Pool::Facts() {
  const envs::EnvironmentInfo& info = pool().info();
  nb::dict facts;
  facts["name"] = info.name;
  facts["observation_size"] = info.observation_size;
  facts["action_size"] = info.action_size;
  facts["action_low"] = info.action_low;
  facts["action_high"] = info.action_high;
  facts["discrete_actions"] = info.discrete_actions;
  facts["episode_steps"] = info.episode_steps;
  facts["step_s"] = pool_->StepSeconds();
  facts["info_keys"] = nb::cast(pool_->info_keys());
  return facts;
}

nb::dict Pool::Arrays(nb::handle self) {
  envs::EnvironmentPool& pool = this->pool();
  const size_t n = pool.size(), width = pool.info().observation_size,
               keys = pool.info_keys().size();
  nb::dict arrays;
  arrays["observations"] = View(pool.observations(), {n, width}, self);
  arrays["rewards"] = View(pool.rewards(), {n}, self);
  arrays["terminated"] = View(pool.terminated(), {n}, self);
  arrays["truncated"] = View(pool.truncated(), {n}, self);
  arrays["successes"] = View(pool.successes(), {n}, self);
  arrays["infos"] = View(pool.infos(), {n, keys}, self);
  if (pool.final_observations().empty()) return arrays;
  arrays["final_observations"] = View(pool.final_observations(), {n, width}, self);
  arrays["final_infos"] = View(pool.final_infos(), {n, keys}, self);
  arrays["final_successes"] = View(pool.final_successes(), {n}, self);
  return arrays;
}

void Pool::Reset(const std::vector<uint64_t>& seeds, const std::vector<uint8_t>& mask,
                 std::optional<uint32_t> goal, std::optional<std::vector<double>> parameters,
                 bool wait) {
  envs::EnvironmentPool& pool = this->pool();
  const Unlocked unlocked;
  const envs::TaskChoice choice{.goal = goal, .parameters = std::move(parameters)};
  Raise(wait ? pool.Reset(seeds, mask, choice) : pool.SendReset(seeds, mask, choice));
}

void Pool::Step(In<float, nb::ndim<2>> actions) {
  envs::EnvironmentPool& pool = this->pool();
  const Unlocked unlocked;
  Raise(pool.Step({actions.data(), actions.size()}));
}

void Pool::Send(In<float, nb::ndim<2>> actions, In<int32_t, nb::ndim<1>> ids) {
  envs::EnvironmentPool& pool = this->pool();
  const Unlocked unlocked;
  Raise(pool.Send({actions.data(), actions.size()}, {ids.data(), ids.size()}));
}

std::vector<int32_t> Pool::Recv(int count) {
  envs::EnvironmentPool& pool = this->pool();
  // Fewer are left when their number is no multiple of `count`.
  std::vector<int32_t> ids(std::min(count, std::max(pool.at_work(), 1)));
  const Unlocked unlocked;
  Raise(pool.Recv(ids));
  return ids;
}

nb::bytes Pool::SaveState(int index) {
  CheckIndex(index);
  const std::string state = ValueOrRaise(pool_->SaveState(index));
  return nb::bytes(state.data(), state.size());
}

void Pool::RestoreState(int index, nb::bytes state) {
  CheckIndex(index);
  Raise(pool_->RestoreState(index, {state.c_str(), state.size()}));
}

void Pool::ResetTo(int index, const std::vector<double>& positions,
                   const std::vector<double>& velocities) {
  CheckIndex(index);
  Raise(pool_->ResetTo(index, positions, velocities));
}

std::vector<double> Pool::SimulatorState(int index) {
  CheckIndex(index);
  return ValueOrRaise(pool_->SimulatorState(index));
}

void Pool::SetSimulatorState(int index, const std::vector<double>& state) {
  CheckIndex(index);
  Raise(pool_->SetSimulatorState(index, state));
}

std::vector<double> Pool::PositionsAndVelocities(int index) {
  CheckIndex(index);
  return ValueOrRaise(pool_->PositionsAndVelocities(index));
}

std::vector<float> Pool::ScriptedAction(int index) {
  CheckIndex(index);
  return ValueOrRaise(pool_->ScriptedAction(index));
}

nb::bytes Pool::Render(int index, int width, int height, const std::string& camera) {
  CheckIndex(index);
  envs::Simulation* simulation = ValueOrRaise(pool_->SimulationOf(index));
  const std::tuple wanted(width, height, camera);
  if (renderer_ == nullptr || renderer_of_ != wanted) {
    renderer_.reset();
    renderer_ = ValueOrRaise(envs::SceneRenderer::Create(
        *simulation->model(), {.width = width, .height = height, .camera = camera}));
    renderer_of_ = wanted;
  }
  std::vector<double> state(simulation->state_size());
  simulation->GetState(state);
  const envs::Picture picture =
      ValueOrRaise(renderer_->Draw(*simulation->model(), state, envs::Caption{}));
  // Below the scene is a strip for a caption, which nobody asked for.
  return nb::bytes(reinterpret_cast<const char*>(picture.rgb.data()), size_t{3} * width * height);
}

void Pool::Close() {
  if (closed_) return;
  Raise(pool_->Close());
  closed_ = true;
  renderer_.reset();
}

}  // namespace mentor::python
