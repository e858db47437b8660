// The module mentor._native: environments and benchmarks. python/mentor/environments makes
// Gymnasium's classes of it; it has no other user, so its names may change.
#include <string>
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
#include "common/spec/bundles.h"
#include "envs/benchmark.h"
#include "envs/environment.h"
#include "python/native/pool.h"
#include "python/native/unlocked.h"

namespace mentor::python {
namespace {

namespace nb = nanobind;
using namespace nanobind::literals;

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

// Training and test tasks, each as (environment, parameters, goal_visible).
nb::tuple Benchmark(const std::string& name, const std::string& environment, uint32_t goal_seed) {
  v1::BenchmarkSpec spec;
  spec.set_name(name);
  if (!environment.empty()) spec.set_environment(environment);
  spec.set_goal_seed(goal_seed);
  if (name.starts_with("mt")) {
    // The package's benchmarks have no one-hot number either; a wrapper of Gymnasium's adds it.
    v1::Option* one_hot = spec.add_option();
    one_hot->set_name("one_hot");
    one_hot->set_value("false");
  }
  Violations violations;
  const std::unique_ptr<envs::Benchmark> made = envs::MakeBenchmark(spec, &violations);
  Raise(violations.ToStatus());
  return nb::make_tuple(TasksOf(made->Tasks(envs::Split::kTrain)),
                        TasksOf(made->Tasks(envs::Split::kTest)));
}

// Lets environments find the bundle of a folder; returns its name.
std::string OfferBundle(const std::string& folder) {
  return BundleName(ValueOrRaise(OfferFolder(folder)).digest);
}

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
  nb::class_<Pool>(m, "Pool")
      .def(nb::init<const std::string&, const OptionsOfPython&, const WrappersOfPython&,
                    std::optional<bool>, uint32_t, int, int, bool, const std::string&>(),
           "environment"_a, "options"_a, "wrappers"_a, "goal_visible"_a.none(), "goal_seed"_a,
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
