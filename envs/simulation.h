// The one door to MuJoCo: models shared by all threads of the process, and a simulation with its
// own data. Everything that MuJoCo reports (errors, unstable states) becomes an absl::Status here.
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

// MuJoCo's errors on their way through its C code.
struct MuJoCoError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Thrown where a pause point says that the work must end (common/pause_point.h); Simulation::Guard
// catches it.
struct Interrupted : std::exception {
  explicit Interrupted(absl::Status status) : status(std::move(status)) {}
  absl::Status status;
};

// Makes MuJoCo's errors throw (Simulation::Guard catches them), and keeps its warnings off the
// terminal and out of the working folder. The pointers are global. LoadModel calls this; calling it
// again changes nothing.
void InstallMuJoCoHandlers();

// The model of an XML file. It is parsed once in the life of the process, changed once by
// `prepare`, and read-only from then on. One Meta-World model takes 20 to 24 MB; threads share it.
// FAILED_PRECONDITION when the file does not load.
absl::StatusOr<std::shared_ptr<const mjModel>> LoadModel(
    const std::string& path, const std::function<void(mjModel&)>& prepare);

// A compiled model (MJB) of a file, owned by the caller alone. INVALID_ARGUMENT when it does not
// load.
absl::StatusOr<std::shared_ptr<const mjModel>> LoadCompiledModel(const std::string& path);

// One model with one mjData. Not thread-safe; the model behind it is shared.
//
// Tasks write body_pos and site_pos. Both arrays belong to this simulation. model() is a copy
// of the shared struct (5 KB) with two pointers replaced; other physics replace some more. So a
// simulation costs its mjData, not another model: 0.2 MB, and the parts of the 14 MB arena that
// contacts touch. Such a view must not reach mj_copyModel, mj_saveModel or mj_deleteModel, which
// know only one buffer.
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
  // The writes since RestoreModel, each as {kind (0 body, 1 site), id, x, y, z}.
  struct Write {
    int kind, id;
    double position[3];
  };
  const std::vector<Write>& writes() const { return writes_; }
  // True if a body has moved from its place in the shared model.
  bool bodies_moved() const;

  // Sets masses, frictions, dampings and gains apart from the shared model's, with all constants
  // that follow from them, as in a model made with these values. Costs some kilobytes and 30 to 90
  // microseconds; with all factors 1 nothing is copied. Takes all model writes back and resets the
  // data, so a reset or a restored state must follow.
  absl::Status SetPhysics(const PhysicsFactors& factors);
  // The same for the task's factors. Both apply: a body's mass is the model's times both factors.
  absl::Status SetTaskPhysics(const PhysicsFactors& factors);
  // One caller of SetPhysics may claim it; returns false when another has.
  bool ClaimPhysics() { return !std::exchange(physics_claimed_, true); }
  // Names the physics: empty for the shared model's, otherwise PhysicsFactors::Tag. Belongs into
  // the key of any cache of simulation results.
  const std::string& physics_tag() const { return physics_tag_; }

  // Makes n calls of mj_step with unchanged mocap pose and controls, within Guard; each is a pause
  // point. If only mocap poses, controls and time were written since the last Forward(), the first
  // step reuses the parts of that forward pass which cannot have changed. The result has the same
  // bits.
  void Steps(int n);
  void Forward();
  bool reuses_forward() const {
    return mocap_body_ >= 0;
  }  // False in scenes where that is not known to be exact.
  // Must follow writes to qpos, qvel or the model: the next step computes everything.
  void Touch() { forwarded_ = false; }
  void ResetData();

  // mjSTATE_INTEGRATION, with which a simulation continues bit for bit.
  int state_size() const { return state_size_; }
  void GetState(std::span<double> state) const;
  void SetState(std::span<const double> state);
  // Appends the model writes and the state: write_count (kind id x y z)* simulator
  void Save(std::vector<double>* numbers) const;
  // Says what is wrong with such numbers; empty: nothing.
  std::string WrongIn(std::span<const double> saved) const;
  // Restores model writes and state. WrongIn must have found nothing.
  void Restore(std::span<const double> saved);

  // Runs `work`. Turns a MuJoCo error into INTERNAL, and an end at a pause point into its status.
  // The data is unusable then until ResetData or SetState.
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
  // INTERNAL when MuJoCo warned since ResetData or SetState: the state was bad and was reset, or
  // memory ran out.
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
  std::unique_ptr<PhysicsArrays> physics_;  // Null until physics are set.
  std::optional<PhysicsFactors> factors_, task_factors_;
  std::string physics_tag_;
  bool physics_claimed_ = false;
  std::unique_ptr<mjData, DataDeleter> data_;
  bool forwarded_ = false;
  bool broken_ = false;
};

// A rotation as a quaternion in SciPy's convention x, y, z, w, made from the matrix (9 numbers, row
// by row, as in mjData), as Meta-World's observations have it (docs/metaworld.md#the-observation).
void QuaternionOf(const double* matrix, std::span<double, 4> quaternion);

}  // namespace mentor::envs
