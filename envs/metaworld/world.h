// The scene as the task statements of Meta-World see it: positions by name, the arm, and the few
// writes that a reset makes. One World belongs to one environment.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "envs/metaworld/reward_functions.h"
#include "envs/simulation.h"

namespace mentor::envs::metaworld {

// Names of a model, looked up once when an environment is made.
struct BodyId {
  int value = 0;
};
struct SiteId {
  int value = 0;
};
struct GeomId {
  int value = 0;
};
struct JointId {
  int qpos = 0;  // Address of its first number.
};

// Looks names up and collects those that the model does not have.
class Names {
 public:
  explicit Names(const mjModel* model) : model_(model) {}
  BodyId Body(const char* name) { return {Find(mjOBJ_BODY, "body", name)}; }
  SiteId Site(const char* name) { return {Find(mjOBJ_SITE, "site", name)}; }
  GeomId Geom(const char* name) { return {Find(mjOBJ_GEOM, "geom", name)}; }
  JointId Joint(const char* name) {
    return {model_->jnt_qposadr[Find(mjOBJ_JOINT, "joint", name)]};
  }
  const std::vector<std::string>& missing() const { return missing_; }

 private:
  int Find(mjtObj type, const char* kind, const char* name);

  const mjModel* const model_;
  std::vector<std::string> missing_;
};

class World {
 public:
  World(std::shared_ptr<const mjModel> model, Names& names);

  // Positions in the world.
  Vec3 At(BodyId id) const { return Read(data().xpos, id.value); }
  Vec3 At(SiteId id) const { return Read(data().site_xpos, id.value); }
  Vec3 At(GeomId id) const { return Read(data().geom_xpos, id.value); }
  // Local position in the model.
  Vec3 ModelAt(SiteId id) const { return Read(sim_.model()->site_pos, id.value); }
  // Orientation as MuJoCo keeps it: w, x, y, z.
  Quat Orientation(BodyId id) const;
  // R(...) of the statements: x, y, z, w made from the rotation matrix
  // (docs/metaworld.md#the-observation).
  Quat R(BodyId id) const { return FromMatrix(data().xmat + 9 * id.value); }
  Quat R(SiteId id) const { return FromMatrix(data().site_xmat + 9 * id.value); }
  Quat R(GeomId id) const { return FromMatrix(data().geom_xmat + 9 * id.value); }
  double Position(JointId id) const { return data().qpos[id.qpos]; }

  // The hand and its fingers.
  Vec3 Hand() const { return At(hand_); }
  Vec3 Tcp() const;
  Vec3 LeftPad() const { return At(left_pad_); }
  Vec3 RightPad() const { return At(right_pad_); }
  // Distance of the claws in [0, 1].
  double Opening() const;
  // Both pads press on the geom: the sum of the normal forces of each pad's contacts with it is
  // positive.
  bool Touching(GeomId id) const;

  // Writes of a reset.
  void SetQpos(int first, std::span<const double> values);
  void SetQpos(int first, const Vec3& values) { SetQpos(first, std::span(values.value)); }
  void SetQpos(int first, double value) { SetQpos(first, std::span(&value, 1)); }
  void ZeroQvel(int begin, int end);
  // qpos(9, p); qvel0(9, 15); forward(): puts the object that moves freely at p, at rest.
  void PutObject(const Vec3& p) {
    SetQpos(9, p);
    ZeroQvel(9, 15);
    Forward();
  }
  void SetBodyPos(BodyId id, const Vec3& position) { sim_.SetBodyPos(id.value, position); }
  void SetSitePos(SiteId id, const Vec3& position) { sim_.SetSitePos(id.value, position); }
  void Forward() { sim_.Forward(); }
  void Steps(int n) { sim_.Steps(n); }

  // Mocap pose and controls, before steps.
  void SetMocap(const Vec3& position);
  Vec3 Mocap() const { return Read(data().mocap_pos, 0); }
  void SetControls(double right, double left);

  Simulation& sim() { return sim_; }
  const Simulation& sim() const { return sim_; }

 private:
  const mjData& data() const { return *sim_.data(); }
  static Vec3 Read(const double* array, int index) {
    return {{array[3 * index], array[3 * index + 1], array[3 * index + 2]}};
  }
  static Quat FromMatrix(const double* matrix);

  Simulation sim_;
  const BodyId hand_, right_claw_, left_claw_, right_pad_, left_pad_;
  const SiteId right_tip_, left_tip_;
  const GeomId right_pad_geom_, left_pad_geom_;
};

// The shared model of a scene, for instance "sawyer_xyz/sawyer_push_v3.xml". FAILED_PRECONDITION
// when it does not load, or its files are not those of the package.
absl::StatusOr<std::shared_ptr<const mjModel>> LoadScene(const std::string& xml);

}  // namespace mentor::envs::metaworld
