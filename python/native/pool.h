// The environments of one Python object: a pool, its batches as arrays, and a renderer. Everything
// that is wrong becomes a Python exception. Python's lock is released while environments work.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "envs/pool/environment_pool.h"
#include "envs/render/scene_renderer.h"

namespace mentor::python {

// ValueError for what the caller gave, RuntimeError for all else.
void Raise(const absl::Status& status);
template <typename T>
T ValueOrRaise(absl::StatusOr<T> value) {
  Raise(value.status());
  return *std::move(value);
}

using OptionsOfPython = std::map<std::string, std::string>;
using WrappersOfPython = std::vector<std::pair<std::string, OptionsOfPython>>;
template <typename Number, typename... Shape>
using In = nanobind::ndarray<const Number, Shape..., nanobind::c_contig, nanobind::device::cpu>;

class Pool {
 public:
  Pool(const std::string& environment, const OptionsOfPython& options,
       const WrappersOfPython& wrappers, std::optional<bool> goal_visible, uint32_t goal_seed,
       int size, int threads, bool asynchronous, const std::string& autoreset);

  nanobind::dict Facts();
  // Views of the batches by name. The pool lives as long as they do.
  nanobind::dict Arrays(nanobind::handle self);
  void Reset(const std::vector<uint64_t>& seeds, const std::vector<uint8_t>& mask,
             std::optional<uint32_t> goal, std::optional<std::vector<double>> parameters,
             bool wait);
  void Step(In<float, nanobind::ndim<2>> actions);
  void Send(In<float, nanobind::ndim<2>> actions, In<int32_t, nanobind::ndim<1>> ids);
  std::vector<int32_t> Recv(int count);

  nanobind::bytes SaveState(int index);
  void RestoreState(int index, nanobind::bytes state);
  void ResetTo(int index, const std::vector<double>& positions,
               const std::vector<double>& velocities);
  std::vector<double> SimulatorState(int index);
  void SetSimulatorState(int index, const std::vector<double>& state);
  std::vector<double> PositionsAndVelocities(int index);
  std::vector<float> ScriptedAction(int index);
  // [height, width, 3] as bytes, the top row first.
  nanobind::bytes Render(int index, int width, int height, const std::string& camera);
  void Close();

 private:
  envs::EnvironmentPool& pool();
  void CheckIndex(int index);

  // Views of the batches keep this object, so batches outlive a close; nothing works then.
  std::unique_ptr<envs::EnvironmentPool> pool_;
  bool closed_ = false;
  std::unique_ptr<envs::SceneRenderer> renderer_;
  std::tuple<int, int, std::string> renderer_of_;
};

}  // namespace mentor::python
