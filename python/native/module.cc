// The module mentor._native: environments and benchmarks. python/mentor/environments makes
// Gymnasium's classes of it; it has no other user, so its names may change. Everything that is
// wrong becomes a Python exception. Python's lock is released while environments work.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "common/bundle.h"
#include "common/bundle_finder.h"
#include "common/installed.h"
#include "common/spec/named_bundles.h"
#include "envs/benchmark.h"
#include "envs/environment.h"
#include "envs/pool/environment_pool.h"
#include "envs/render/scene_renderer.h"
#include "python/native/bonus_class.h"
#include "python/native/unlocked.h"

namespace mentor::python {
namespace {

namespace nb = nanobind;
using namespace nanobind::literals;

using OptionsOfPython = std::map<std::string, std::string>;
using WrappersOfPython = std::vector<std::pair<std::string, OptionsOfPython>>;
template <typename Number, typename... Shape>
using In = nb::ndarray<const Number, Shape..., nb::c_contig, nb::device::cpu>;

// ValueError for what the caller gave, RuntimeError for all else.
void Raise(const absl::Status& status) {
  if (status.ok()) return;
  const std::string message(status.message());
  if (absl::IsInvalidArgument(status) || absl::IsNotFound(status))
    throw nb::value_error(message.c_str());
  throw std::runtime_error(message);
}

template <typename T>
T ValueOrRaise(absl::StatusOr<T> value) {
  Raise(value.status());
  return *std::move(value);
}

nb::list Catalogue() {
  nb::list list;
  for (const envs::EnvironmentEntry* entry : envs::CompleteEnvironments()) {
    nb::dict facts;
    facts["name"] = entry->name;
    facts["suite"] = entry->suite;
    facts["summary"] = entry->summary;
    nb::list options;
    for (const OptionInfo& option : entry->options) options.append(option.name);
    facts["options"] = options;
    list.append(facts);
  }
  return list;
}

nb::list TasksOf(const std::vector<envs::TaskSet>& sets) {
  nb::list list;
  for (const envs::TaskSet& set : sets) {
    for (const v1::EnvironmentTask task : set.tasks) {
      const std::vector<double> parameters(task.parameters().begin(), task.parameters().end());
      list.append(nb::make_tuple(task.environment(), nb::cast(parameters), task.goal_visible()));
    }
  }
  return list;
}

google::protobuf::RepeatedPtrField<v1::Option> Options(const OptionsOfPython& options) {
  google::protobuf::RepeatedPtrField<v1::Option> list;
  for (const auto& [name, value] : options) {
    v1::Option* option = list.Add();
    option->set_name(name);
    option->set_value(value);
  }
  return list;
}

std::unique_ptr<envs::Benchmark> BenchmarkOf(const std::string& name,
                                             const std::string& environment,
                                             const OptionsOfPython& options, uint32_t goal_seed) {
  v1::BenchmarkSpec spec;
  spec.set_name(name);
  if (!environment.empty()) spec.set_environment(environment);
  spec.set_goal_seed(goal_seed);
  *spec.mutable_option() = Options(options);
  Violations violations;
  std::unique_ptr<envs::Benchmark> made = envs::MakeBenchmark(spec, &violations);
  Raise(violations.ToStatus());
  return made;
}

// Training and test tasks, each as (environment, parameters, goal_visible).
nb::tuple Benchmark(const std::string& name, const std::string& environment, uint32_t goal_seed) {
  OptionsOfPython options;
  // The package's benchmarks have no one-hot number either; a wrapper of Gymnasium's adds it.
  if (name.starts_with("mt")) options["one_hot"] = "false";
  const auto made = BenchmarkOf(name, environment, options, goal_seed);
  return nb::make_tuple(TasksOf(made->Tasks(envs::Split::kTrain)),
                        TasksOf(made->Tasks(envs::Split::kTest)));
}

// Lets environments find the bundle of a folder; returns its name.
std::string OfferBundle(const std::string& folder) {
  return BundleName(ValueOrRaise(OfferFolder(folder)).digest);
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

// The environments of one Python object: a pool, its batches as arrays, and a renderer.
class Pool {
 public:
  // split: "train" or "test" of a benchmark, which is then the name; empty for one environment.
  Pool(const std::string& name, const std::string& split, const OptionsOfPython& options,
       const WrappersOfPython& wrappers, std::optional<bool> goal_visible, uint32_t goal_seed,
       int size, int threads, bool asynchronous, const std::string& autoreset) {
    envs::EnvironmentPool::Options wanted{.environment = name,
                                          .goal_visible = goal_visible,
                                          .goal_seed = goal_seed,
                                          .size = size,
                                          .threads = threads,
                                          .asynchronous = asynchronous,
                                          .autoreset = AutoresetOf(autoreset)};
    if (split.empty()) {
      wanted.options = Options(options);
    } else {
      wanted.classes = BenchmarkOf(name, "", options, goal_seed)
                           ->Tasks(split == "test" ? envs::Split::kTest : envs::Split::kTrain);
    }
    for (const auto& [name, values] : wrappers) {
      v1::WrapperSpec* wrapper = wanted.wrappers.Add();
      wrapper->set_name(name);
      *wrapper->mutable_option() = Options(values);
    }
    const Unlocked unlocked;
    pool_ = ValueOrRaise(envs::EnvironmentPool::Make(std::move(wanted)));
  }

  nb::dict Facts() {
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

  // Views of the batches by name. The pool lives as long as they do.
  nb::dict Arrays(nb::handle self) {
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

  void Reset(const std::vector<uint64_t>& seeds, const std::vector<uint8_t>& mask,
             std::optional<uint32_t> goal, std::optional<std::vector<double>> parameters,
             bool wait) {
    envs::EnvironmentPool& pool = this->pool();
    const Unlocked unlocked;
    const envs::TaskChoice choice{.goal = goal, .parameters = std::move(parameters)};
    Raise(wait ? pool.Reset(seeds, mask, choice) : pool.SendReset(seeds, mask, choice));
  }

  void Step(In<float, nb::ndim<2>> actions) {
    envs::EnvironmentPool& pool = this->pool();
    const Unlocked unlocked;
    Raise(pool.Step({actions.data(), actions.size()}));
  }

  void Send(In<float, nb::ndim<2>> actions, In<int32_t, nb::ndim<1>> ids) {
    envs::EnvironmentPool& pool = this->pool();
    const Unlocked unlocked;
    Raise(pool.Send({actions.data(), actions.size()}, {ids.data(), ids.size()}));
  }

  std::vector<int32_t> Recv(int count) {
    envs::EnvironmentPool& pool = this->pool();
    // Fewer are left when their number is no multiple of `count`.
    std::vector<int32_t> ids(std::min(count, std::max(pool.at_work(), 1)));
    const Unlocked unlocked;
    Raise(pool.Recv(ids));
    return ids;
  }

  nb::bytes SaveState(int index) {
    CheckIndex(index);
    const std::string state = ValueOrRaise(pool_->SaveState(index));
    return nb::bytes(state.data(), state.size());
  }

  void RestoreState(int index, nb::bytes state) {
    CheckIndex(index);
    Raise(pool_->RestoreState(index, {state.c_str(), state.size()}));
  }

  void ResetTo(int index, const std::vector<double>& positions,
               const std::vector<double>& velocities) {
    CheckIndex(index);
    Raise(pool_->ResetTo(index, positions, velocities));
  }

  std::vector<double> SimulatorState(int index) {
    CheckIndex(index);
    return ValueOrRaise(pool_->SimulatorState(index));
  }

  void SetSimulatorState(int index, const std::vector<double>& state) {
    CheckIndex(index);
    Raise(pool_->SetSimulatorState(index, state));
  }

  std::vector<double> PositionsAndVelocities(int index) {
    CheckIndex(index);
    return ValueOrRaise(pool_->PositionsAndVelocities(index));
  }

  std::vector<float> ScriptedAction(int index) {
    CheckIndex(index);
    return ValueOrRaise(pool_->ScriptedAction(index));
  }

  // [height, width, 3] as bytes, the top row first.
  nb::bytes Render(int index, int width, int height, const std::string& camera) {
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

  void Close() {
    if (closed_) return;
    Raise(pool_->Close());
    closed_ = true;
    renderer_.reset();
  }

 private:
  envs::EnvironmentPool& pool() {
    if (closed_) throw std::runtime_error("these environments are closed; make new ones");
    return *pool_;
  }

  void CheckIndex(int index) {
    if (index < 0 || index >= pool().size())
      throw nb::index_error(absl::StrCat("index: ", index, " of ", pool().size()).c_str());
  }

  // Views of the batches keep this object, so batches outlive a close; nothing works then.
  std::unique_ptr<envs::EnvironmentPool> pool_;
  bool closed_ = false;
  std::unique_ptr<envs::SceneRenderer> renderer_;
  std::tuple<int, int, std::string> renderer_of_;
};

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "Environments in C++; use mentor.environments";
  // A daemon thread may hold environments when the interpreter ends.
  nb::set_leak_warnings(false);
  nb::module_::import_("atexit").attr("register")(nb::cpp_function(&ParkOtherThreads));
  m.def(
      "set_program_folder", [](const std::string& folder) { SetProgramFolder(folder); },
      "folder"_a);
  m.def("catalogue", &Catalogue);
  m.def("benchmark", &Benchmark, "name"_a, "environment"_a, "goal_seed"_a);
  m.def("offer_bundle", &OfferBundle, "folder"_a);
  AddBonus(m);
  nb::class_<Pool>(m, "Pool")
      .def(nb::init<const std::string&, const std::string&, const OptionsOfPython&,
                    const WrappersOfPython&, std::optional<bool>, uint32_t, int, int, bool,
                    const std::string&>(),
           "name"_a, "split"_a, "options"_a, "wrappers"_a, "goal_visible"_a.none(), "goal_seed"_a,
           "size"_a, "threads"_a, "asynchronous"_a, "autoreset"_a)
      .def("facts", &Pool::Facts)
      .def("arrays", [](nb::handle self) { return nb::cast<Pool&>(self).Arrays(self); })
      .def("reset", &Pool::Reset, "seeds"_a, "mask"_a, "goal"_a.none(), "parameters"_a.none(),
           "wait"_a)
      .def("step", &Pool::Step, "actions"_a.noconvert())
      .def("send", &Pool::Send, "actions"_a.noconvert(), "ids"_a.noconvert())
      .def("recv", &Pool::Recv, "count"_a)
      .def("save_state", &Pool::SaveState, "index"_a)
      .def("restore_state", &Pool::RestoreState, "index"_a, "state"_a)
      .def("reset_to", &Pool::ResetTo, "index"_a, "positions"_a, "velocities"_a)
      .def("simulator_state", &Pool::SimulatorState, "index"_a)
      .def("set_simulator_state", &Pool::SetSimulatorState, "index"_a, "state"_a)
      .def("positions_and_velocities", &Pool::PositionsAndVelocities, "index"_a)
      .def("scripted_action", &Pool::ScriptedAction, "index"_a)
      .def("render", &Pool::Render, "index"_a, "width"_a, "height"_a, "camera"_a)
      .def("close", &Pool::Close);
}

}  // namespace mentor::python
