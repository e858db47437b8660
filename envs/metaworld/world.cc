#include "envs/metaworld/world.h"

#include <algorithm>

#include "common/check.h"
#include "envs/assets.h"

namespace mentor::envs::metaworld {

int Names::Find(mjtObj type, const char* kind, const char* name) {
  const int id = mj_name2id(model_, type, name);
  if (id < 0) missing_.push_back(std::string(kind) + " " + name);
  return std::max(id, 0);
}

World::World(std::shared_ptr<const mjModel> model, Names& names)
    : sim_(std::move(model)),
      hand_(names.Body("hand")),
      right_claw_(names.Body("rightclaw")),
      left_claw_(names.Body("leftclaw")),
      right_pad_(names.Body("rightpad")),
      left_pad_(names.Body("leftpad")),
      right_tip_(names.Site("rightEndEffector")),
      left_tip_(names.Site("leftEndEffector")),
      right_pad_geom_(names.Geom("rightpad_geom")),
      left_pad_geom_(names.Geom("leftpad_geom")) {}

Quat World::Orientation(BodyId id) const {
  const double* q = data().xquat + 4 * id.value;
  return {{q[0], q[1], q[2], q[3]}};
}

Quat World::FromMatrix(const double* matrix) {
  Quat q;
  QuaternionOf(matrix, q.value);
  return q;
}

Vec3 World::Tcp() const {
  const Vec3 sum = At(right_tip_) + At(left_tip_);
  return {{sum[0] / 2, sum[1] / 2, sum[2] / 2}};
}

double World::Opening() const {
  return Clip(Norm(At(right_claw_) - At(left_claw_)) / 0.1, 0, 1);
}

bool World::Touching(GeomId id) const {
  double left = 0, right = 0;
  for (int i = 0; i < data().ncon; ++i) {
    const mjContact& contact = data().contact[i];
    if (contact.efc_address < 0) continue;
    const int other = contact.geom[0] == id.value   ? contact.geom[1]
                      : contact.geom[1] == id.value ? contact.geom[0]
                                                    : -1;
    const double force = data().efc_force[contact.efc_address];
    if (other == left_pad_geom_.value) left += force;
    if (other == right_pad_geom_.value) right += force;
  }
  return left > 0 && right > 0;
}

void World::SetQpos(int first, std::span<const double> values) {
  MENTOR_CHECK(first + values.size() <= static_cast<size_t>(sim_.model()->nq));
  std::copy(values.begin(), values.end(), sim_.data()->qpos + first);
  sim_.Touch();
}

void World::ZeroQvel(int begin, int end) {
  end = std::min(
      end, static_cast<int>(sim_.model()->nv));  // Some statements name more speeds than there are.
  std::fill(sim_.data()->qvel + begin, sim_.data()->qvel + end, 0.0);
  sim_.Touch();
}

void World::SetMocap(const Vec3& position) {
  constexpr double kOrientation[4] = {1, 0, 1, 0};  // Not normalised; MuJoCo does that.
  std::copy_n(position.value, 3, sim_.data()->mocap_pos);
  std::copy_n(kOrientation, 4, sim_.data()->mocap_quat);
}

void World::SetControls(double right, double left) {
  sim_.data()->ctrl[0] = right;
  sim_.data()->ctrl[1] = left;
}

namespace {

// The reference overwrites the weld between mocap body and hand after loading: anchor 0, relative
// position 0, relative quaternion (-1, 0, 0, 0), torque scale 5.
void PrepareModel(mjModel& model) {
  constexpr double kWeld[mjNEQDATA] = {0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 5};
  for (int i = 0; i < model.neq; ++i) {
    if (model.eq_type[i] == mjEQ_WELD) std::copy_n(kWeld, mjNEQDATA, model.eq_data + mjNEQDATA * i);
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<const mjModel>> LoadScene(const std::string& xml) {
  MENTOR_ASSIGN_OR_RETURN(const std::string path, ModelFile("metaworld/assets", xml));
  return LoadModel(path, PrepareModel);
}

}  // namespace mentor::envs::metaworld
