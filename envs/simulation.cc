#include "envs/simulation.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <map>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/mutex.h"
#include "common/pause_point.h"

namespace mentor::envs {
namespace {

// Returns the only mocap body of a scene if its pose reaches the rest of the model through equality
// constraints alone. Kinematics, inertia, collisions and velocities of a forward pass then stay
// valid while only mocap pose and controls change. Returns -1 for every other scene.
int FindIsolatedMocapBody(const mjModel& m) {
  if (m.nmocap != 1 || m.ntendon || m.nflex || m.nplugin || m.npair || m.opt.enableflags ||
      m.opt.disableflags || m.opt.integrator != mjINT_EULER)
    return -1;
  int mocap = -1;
  for (int body = 0; body < m.nbody; ++body) {
    if (m.body_mocapid[body] >= 0) mocap = body;
  }
  if (mocap < 0 || m.body_parentid[mocap] != 0 || m.body_gravcomp[mocap] != 0) return -1;
  for (int body = 1; body < m.nbody; ++body) {
    if (m.body_parentid[body] == mocap) return -1;
  }
  for (int geom = 0; geom < m.ngeom; ++geom) {
    if (m.geom_bodyid[geom] == mocap && (m.geom_contype[geom] || m.geom_conaffinity[geom]))
      return -1;
  }
  for (int i = 0; i < m.nu; ++i) {
    if (m.actuator_trntype[i] != mjTRN_JOINT) return -1;
  }
  for (int i = 0; i < m.neq; ++i) {
    const bool of_bodies = m.eq_type[i] == mjEQ_WELD || m.eq_type[i] == mjEQ_CONNECT;
    if (of_bodies && m.eq_objtype[i] != mjOBJ_BODY) return -1;
  }
  return mocap;
}

}  // namespace

void InstallMuJoCoHandlers() {
  static const bool installed = [] {
    mju_user_error = [](const char* message) { throw MuJoCoError(message); };
    // CheckWarnings reads warnings from mjData.
    mju_user_warning = [](const char*) {};
    return true;
  }();
  (void)installed;
}

namespace {

absl::Status CheckLibrary() {
  if (mj_version() == mjVERSION_HEADER) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the MuJoCo library has version ", mj_version(),
                                                    ", this program was built for ",
                                                    mjVERSION_HEADER));
}

std::shared_ptr<const mjModel> Share(mjModel* model) {
  return {model, [](const mjModel* last) { mj_deleteModel(const_cast<mjModel*>(last)); }};
}

}  // namespace

absl::StatusOr<std::shared_ptr<const mjModel>> LoadModel(
    const std::string& path, const std::function<void(mjModel&)>& prepare) {
  static Mutex mutex;
  static std::map<std::string, std::shared_ptr<const mjModel>> models ABSL_GUARDED_BY(mutex);

  InstallMuJoCoHandlers();
  MENTOR_RETURN_IF_ERROR(CheckLibrary());
  const MutexLock lock(mutex);
  if (const auto found = models.find(path); found != models.end()) return found->second;
  char error[1000] = "";
  mjModel* model = nullptr;
  try {
    model = mj_loadXML(path.c_str(), nullptr, error, sizeof(error));
  } catch (const std::exception& thrown) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot load model ", path, ": ", thrown.what(),
                     "; run deploy/install.sh or set MENTOR_ASSETS"));
  }
  if (model == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot load model ", path, ": ", error, "; run deploy/install.sh or set MENTOR_ASSETS"));
  }
  prepare(*model);
  const auto shared = Share(model);
  models.emplace(path, shared);
  return shared;
}

absl::StatusOr<std::shared_ptr<const mjModel>> LoadCompiledModel(const std::string& path) {
  InstallMuJoCoHandlers();
  MENTOR_RETURN_IF_ERROR(CheckLibrary());
  try {
    if (mjModel* model = mj_loadModel(path.c_str(), nullptr)) return Share(model);
  } catch (const std::exception& thrown) {
    return absl::InvalidArgumentError(absl::StrCat("the compiled model: ", thrown.what()));
  }
  return absl::InvalidArgumentError("the compiled model does not load");
}

Simulation::Simulation(std::shared_ptr<const mjModel> shared)
    : shared_(std::move(shared)),
      state_size_(mj_stateSize(shared_.get(), mjSTATE_INTEGRATION)),
      mocap_body_(FindIsolatedMocapBody(*shared_)),
      body_pos_(shared_->body_pos, shared_->body_pos + 3 * shared_->nbody),
      site_pos_(shared_->site_pos, shared_->site_pos + 3 * shared_->nsite) {
  ResetView();
  writes_.reserve(8);
  data_.reset(mj_makeData(&view_));
  MENTOR_CHECK(data_ != nullptr);
}

// Resets the view of the shared physics.
void Simulation::ResetView() {
  view_ = *shared_;
  view_.body_pos = body_pos_.data();
  view_.site_pos = site_pos_.data();
}

absl::Status Simulation::SetPhysics(const PhysicsFactors& factors) {
  factors_ = factors;
  return ApplyPhysics();
}

absl::Status Simulation::SetTaskPhysics(const PhysicsFactors& factors) {
  task_factors_ = factors;
  return ApplyPhysics();
}

absl::Status Simulation::ApplyPhysics() {
  RestoreModel();
  ResetView();
  physics_tag_.clear();
  const PhysicsFactors factors = !task_factors_ ? *factors_
                                 : !factors_    ? *task_factors_
                                                : *task_factors_ * *factors_;
  if (factors == PhysicsFactors::Nominal(*shared_)) {
    ResetData();
    return absl::OkStatus();
  }
  if (!physics_) physics_ = std::make_unique<PhysicsArrays>(*shared_);
  physics_->Apply(*shared_, factors, &view_);
  const absl::Status status = Guard([this] {
    ResetData();
    mj_setConst(&view_, data_.get());
    ResetData();
  });
  if (!status.ok()) {
    ResetView();
    return status;
  }
  physics_tag_ = factors.Tag();
  return absl::OkStatus();
}

void Simulation::SetBodyPos(int body, std::span<const double, 3> position) {
  std::copy(position.begin(), position.end(), &body_pos_.at(3 * body));
  Remember(0, body, position);
}

void Simulation::SetSitePos(int site, std::span<const double, 3> position) {
  std::copy(position.begin(), position.end(), &site_pos_.at(3 * site));
  Remember(1, site, position);
}

void Simulation::Remember(int kind, int id, std::span<const double, 3> position) {
  auto write = std::find_if(writes_.begin(), writes_.end(),
                            [&](const Write& w) { return w.kind == kind && w.id == id; });
  if (write == writes_.end()) write = writes_.insert(write, {kind, id, {}});
  std::copy(position.begin(), position.end(), write->position);
  Touch();
}

void Simulation::RestoreModel() {
  std::copy_n(shared_->body_pos, body_pos_.size(), body_pos_.begin());
  std::copy_n(shared_->site_pos, site_pos_.size(), site_pos_.begin());
  writes_.clear();
  Touch();
}

bool Simulation::bodies_moved() const {
  return !std::equal(body_pos_.begin(), body_pos_.end(), shared_->body_pos);
}

void Simulation::Steps(int n) {
  for (int i = 0; i < n; ++i) {
    if (absl::Status status = PausePoint(); !status.ok()) throw Interrupted(std::move(status));
    if (forwarded_) {
      StepAfterForward();
    } else {
      mj_step(&view_, data_.get());
    }
  }
}

void Simulation::Forward() {
  mj_forward(&view_, data_.get());
  forwarded_ = mocap_body_ >= 0;
}

// mj_step without the parts that only depend on qpos, qvel and the model: these are as they were in
// Forward().
void Simulation::StepAfterForward() {
  const mjModel* m = &view_;
  mjData* d = data_.get();
  forwarded_ = false;
  mj_checkPos(m, d);
  mj_checkVel(m, d);
  // Kinematics of the mocap body, as in mj_kinematics for a child of the world.
  double* xquat = d->xquat + 4 * mocap_body_;
  mju_copy3(d->xpos + 3 * mocap_body_, d->mocap_pos);
  mju_copy4(xquat, d->mocap_quat);
  mju_normalize4(xquat);
  mju_quat2Mat(d->xmat + 9 * mocap_body_, xquat);
  // Rows of the weld follow the mocap pose; the other rows come out as before.
  mj_makeConstraint(m, d);
  mj_projectConstraint(m, d);
  mj_referenceConstraint(m, d);
  mj_fwdActuation(m, d);
  mj_fwdAcceleration(m, d);
  mj_fwdConstraint(m, d);
  mj_checkAcc(m, d);
  mj_Euler(m, d);
}

void Simulation::ResetData() {
  // An error thrown through MuJoCo leaves its stack pointer anywhere.
  if (broken_) data_.reset(mj_makeData(&view_));
  MENTOR_CHECK(data_ != nullptr);
  broken_ = false;
  mj_resetData(&view_, data_.get());
  Touch();
}

void Simulation::GetState(std::span<double> state) const {
  MENTOR_CHECK(state.size() == static_cast<size_t>(state_size_));
  mj_getState(&view_, data_.get(), state.data(), mjSTATE_INTEGRATION);
}

void Simulation::SetState(std::span<const double> state) {
  MENTOR_CHECK(state.size() == static_cast<size_t>(state_size_));
  if (broken_) ResetData();
  for (mjWarningStat& warning : data_->warning) warning = {};
  mj_setState(&view_, data_.get(), state.data(), mjSTATE_INTEGRATION);
  Touch();
}

void Simulation::Save(std::vector<double>* numbers) const {
  numbers->push_back(static_cast<double>(writes_.size()));
  for (const Write& write : writes_) {
    numbers->insert(numbers->end(), {static_cast<double>(write.kind), static_cast<double>(write.id),
                                     write.position[0], write.position[1], write.position[2]});
  }
  numbers->resize(numbers->size() + state_size_);
  GetState(std::span(*numbers).last(state_size_));
}

std::string Simulation::WrongIn(std::span<const double> saved) const {
  const double writes = saved[0];
  if (writes != std::floor(writes) ||
      static_cast<double>(saved.size()) != 1 + 5 * writes + state_size_)
    return "has a wrong number of model writes";
  for (int i = 0; i < writes; ++i) {
    const double kind = saved[1 + 5 * i], id = saved[2 + 5 * i];
    const double ids = kind == 0 ? view_.nbody : view_.nsite;
    if ((kind != 0 && kind != 1) || !(id >= 0 && id < ids && id == std::floor(id)))
      return absl::StrCat("model write ", i, " names kind ", kind, ", id ", id);
  }
  return "";
}

void Simulation::Restore(std::span<const double> saved) {
  RestoreModel();
  for (const double *write = &saved[1], *end = write + 5 * static_cast<int>(saved[0]); write < end;
       write += 5) {
    const std::span<const double, 3> position(write + 2, 3);
    const int id = static_cast<int>(write[1]);
    write[0] == 0 ? SetBodyPos(id, position) : SetSitePos(id, position);
  }
  SetState(saved.last(state_size_));
}

absl::Status Simulation::Broken(const MuJoCoError& error) {
  broken_ = true;
  Touch();
  return absl::InternalError(absl::StrCat("MuJoCo: ", error.what()));
}

absl::Status Simulation::CheckWarnings() const {
  for (int i = 0; i < mjNWARNING; ++i) {
    const mjWarningStat& warning = data_->warning[i];
    if (warning.number == 0) continue;
    const bool unstable = i == mjWARN_BADQPOS || i == mjWARN_BADQVEL || i == mjWARN_BADQACC;
    return absl::OutOfRangeError(absl::StrCat(
        "MuJoCo warned ", warning.number,
        " times: ", mju_warningText(i, static_cast<size_t>(warning.lastinfo)),
        unstable ? "; give the model a smaller timestep, its actuators a smaller gear, "
                   "or actions narrower bounds (ctrlrange)"
                 : ""));
  }
  return absl::OkStatus();
}

void QuaternionOf(const double* matrix, std::span<double, 4> quaternion) {
  const auto m = [matrix](int row, int column) { return matrix[3 * row + column]; };
  const double trace = m(0, 0) + m(1, 1) + m(2, 2);
  const double choices[4] = {m(0, 0), m(1, 1), m(2, 2), trace};
  const int c =
      static_cast<int>(std::max_element(choices, choices + 4) - choices);  // The first largest.
  double* q = quaternion.data();
  if (c == 3) {
    q[0] = m(2, 1) - m(1, 2);
    q[1] = m(0, 2) - m(2, 0);
    q[2] = m(1, 0) - m(0, 1);
    q[3] = 1 + trace;
  } else {
    const int i = c, j = (c + 1) % 3, k = (c + 2) % 3;
    q[i] = 1 - trace + 2 * m(i, i);
    q[j] = m(j, i) + m(i, j);
    q[k] = m(k, i) + m(i, k);
    q[3] = m(k, j) - m(j, k);
  }
  const double norm = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  for (int i = 0; i < 4; ++i) q[i] /= norm;
}

}  // namespace mentor::envs
