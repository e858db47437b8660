// MuJoCo behind one door: models shared by all threads of the process, and a simulation with its
// own data. Everything that MuJoCo can report (errors, unstable states) becomes an absl::Status
// here.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <mujoco/mujoco.h>

#include "envs/physics.h"

namespace mentor::envs {

// What MuJoCo's errors are turned into on their way through its C code.
struct MuJoCoError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A pause point says that the work is to end (common/pause_point.h); caught by Simulation::Guard.
struct Interrupted : std::exception {
  explicit Interrupted(absl::Status status) : status(std::move(status)) {}
  absl::Status status;
};

// Makes MuJoCo's errors throw (caught by Simulation::Guard) and keeps its warnings off the terminal
// and out of the working folder. The pointers are global; LoadModel calls this, and calling it
// again changes nothing.
void InstallMuJoCoHandlers();

// The model of an XML file, parsed once in the life of the process, changed once by `prepare` and
// read-only from then on. One model takes 20 to 24 MB (Meta-World); threads share it.
// FAILED_PRECONDITION when the file does not load.
absl::StatusOr<std::shared_ptr<const mjModel>> LoadModel(
    const std::string& path, const std::function<void(mjModel&)>& prepare);

// A compiled model (MJB) of a file, which nobody else keeps. INVALID_ARGUMENT when it does not
// load.
absl::StatusOr<std::shared_ptr<const mjModel>> LoadCompiledModel(const std::string& path);

// One model with one mjData. Not thread-safe; the model behind it is shared.
//
// Tasks write body_pos and site_pos. Those two arrays are this simulation's own: model() is a copy
// of the shared struct (5 KB) in which two pointers are replaced, so that a simulation costs its
// mjData (0.2 MB, and of the 14 MB arena what contacts touch), not another model; with other
// physics some more pointers are. Such a view must not reach mj_copyModel, mj_saveModel or
// mj_deleteModel, which know of one buffer only.
class Simulation {
 public:
  explicit Simulation(std::shared_ptr<const mjModel> shared);
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  const mjModel* model() const { return &view_; }
  mjData* data() { return data_.get(); }
  const mjData* data() const { return data_.get(); }

  // Model writes of this simulation. RestoreModel takes all of them back.
  void SetBodyPos(int body, std::span<const double, 3> position);
  void SetSitePos(int site, std::span<const double, 3> position);
  void RestoreModel();
  // The writes since RestoreModel, each as {kind (0 body, 1 site), id, x, y, z}: what a saved state
  // needs.
  struct Write {
    int kind, id;
    double position[3];
  };
  const std::vector<Write>& writes() const { return writes_; }
  // A body is not where the shared model has it.
  bool bodies_moved() const;

  // Other masses, frictions, dampings and gains than the shared model's, with all constants that
  // follow from them: those of a model made with these values. Costs some kilobytes and 30 to 90
  // microseconds; with all factors 1 nothing is copied. Takes all model writes back and resets the
  // data, so a reset or a restored state must follow.
  absl::Status SetPhysics(const PhysicsFactors& factors);
  // The same for what belongs to the task. Both hold: a body's mass is the model's times both
  // factors.
  absl::Status SetTaskPhysics(const PhysicsFactors& factors);
  // One caller of SetPhysics may claim it: false when another has.
  bool ClaimPhysics() { return !std::exchange(physics_claimed_, true); }
  // Names the physics: empty for the shared model's, else PhysicsFactors::Tag. Whoever remembers
  // what a simulation did must have it in the key.
  const std::string& physics_tag() const { return physics_tag_; }

  // n calls of mj_step with unchanged mocap pose and controls, within Guard: each is a pause point.
  // When nothing but mocap poses,
  // controls and time has been written since the last Forward(), the first step takes the parts of
  // that forward pass which cannot have changed instead of computing them again; the result has the
  // same bits.
  void Steps(int n);
  void Forward();
  bool reuses_forward() const {
    return mocap_body_ >= 0;
  }  // False in scenes where that is not known to be exact.
  // Tells that qpos, qvel or the model were written: the next step computes everything.
  void Touch() { forwarded_ = false; }
  void ResetData();

  // mjSTATE_INTEGRATION, with which a simulation continues bit for bit.
  int state_size() const { return state_size_; }
  void GetState(std::span<double> state) const;
  void SetState(std::span<const double> state);

  // Runs `work` and turns a MuJoCo error into INTERNAL, the end of it at a pause point into what
  // was said there. The data is unusable then until ResetData
  // or SetState.
  template <typename Work>
  absl::Status Guard(Work&& work) {
    try {
      work();
      return absl::OkStatus();
    } catch (const MuJoCoError& error) {
      return Broken(error);
    } catch (const Interrupted& interrupted) {
      return interrupted.status;
    }
  }
  // INTERNAL when MuJoCo warned since ResetData or SetState: the state was bad and has been reset,
  // or memory ran out.
  absl::Status CheckWarnings() const;

 private:
  struct DataDeleter {
    void operator()(mjData* data) const { mj_deleteData(data); }
  };

  absl::Status ApplyPhysics();
  void StepAfterForward();
  void Remember(int kind, int id, std::span<const double, 3> position);
  void ResetView();
  absl::Status Broken(const MuJoCoError& error);

  // Fixed after construction.
  const std::shared_ptr<const mjModel> shared_;
  int state_size_ = 0;
  int mocap_body_ = -1;  // Negative: steps never reuse a forward pass.

  mjModel view_;
  std::vector<double> body_pos_, site_pos_;
  std::vector<Write> writes_;
  std::unique_ptr<PhysicsArrays> physics_;  // Null until physics were set.
  std::optional<PhysicsFactors> factors_, task_factors_;
  std::string physics_tag_;
  bool physics_claimed_ = false;
  std::unique_ptr<mjData, DataDeleter> data_;
  bool forwarded_ = false;
  bool broken_ = false;
};

}  // namespace mentor::envs
