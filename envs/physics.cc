#include "envs/physics.h"

#include <algorithm>

#include "common/check.h"
#include "common/hash.h"

namespace mentor::envs {
namespace {

// Arrays of the model by name, with their number of elements: first the arrays that factors change,
// then those that mj_setConst of MuJoCo 3.3.0 writes. Tests compare all other arrays with the
// shared model's.
#define MENTOR_FACTOR_ARRAYS(X)    \
  X(body_mass, nbody)              \
  X(body_inertia, 3 * nbody)       \
  X(geom_friction, 3 * ngeom)      \
  X(geom_size, 3 * ngeom)          \
  X(geom_rbound, ngeom)            \
  X(geom_aabb, 6 * ngeom)          \
  X(dof_damping, nv)               \
  X(actuator_gainprm, mjNGAIN* nu) \
  X(actuator_biasprm, mjNBIAS* nu)

#define MENTOR_DERIVED_ARRAYS(X)      \
  X(body_subtreemass, nbody)          \
  X(body_invweight0, 2 * nbody)       \
  X(dof_invweight0, nv)               \
  X(dof_M0, nv)                       \
  X(tendon_length0, ntendon)          \
  X(tendon_invweight0, ntendon)       \
  X(tendon_lengthspring, 2 * ntendon) \
  X(actuator_length0, nu)             \
  X(actuator_acc0, nu)                \
  X(cam_mode, ncam)                   \
  X(cam_pos0, 3 * ncam)               \
  X(cam_poscom0, 3 * ncam)            \
  X(cam_mat0, 9 * ncam)               \
  X(light_mode, nlight)               \
  X(light_pos0, 3 * nlight)           \
  X(light_poscom0, 3 * nlight)        \
  X(light_dir0, 3 * nlight)

}  // namespace

struct PhysicsArrays::Arrays {
#define X(name, count) std::vector<std::remove_pointer_t<decltype(mjModel::name)>> name;
  MENTOR_FACTOR_ARRAYS(X)
  MENTOR_DERIVED_ARRAYS(X)
#undef X
};

PhysicsArrays::PhysicsArrays(const mjModel& nominal) : arrays_(std::make_unique<Arrays>()) {
  // Flexes have constants of their own, but no scene has flexes.
  MENTOR_CHECK(nominal.nflex == 0);
}

PhysicsArrays::~PhysicsArrays() = default;

void PhysicsArrays::Apply(const mjModel& nominal, const PhysicsFactors& factors, mjModel* view) {
  const int nbody = nominal.nbody, ngeom = nominal.ngeom, nv = nominal.nv, nu = nominal.nu,
            ntendon = nominal.ntendon, ncam = nominal.ncam, nlight = nominal.nlight;
  MENTOR_CHECK(factors.mass.size() == static_cast<size_t>(nbody) &&
               factors.friction.size() == static_cast<size_t>(ngeom) &&
               factors.damping.size() == static_cast<size_t>(nominal.njnt) &&
               factors.gain.size() == static_cast<size_t>(nu) &&
               factors.size.size() == static_cast<size_t>(ngeom));
#define X(name, count)                                              \
  arrays_->name.assign(nominal.name, nominal.name + size_t(count)); \
  view->name = arrays_->name.data();
  MENTOR_FACTOR_ARRAYS(X)
  MENTOR_DERIVED_ARRAYS(X)
#undef X
  const auto scale = [](mjtNum* numbers, int count, double factor) {
    for (int i = 0; i < count; ++i) numbers[i] *= factor;
  };
  for (int i = 0; i < nbody; ++i) {
    scale(view->body_mass + i, 1, factors.mass[i]);
    scale(view->body_inertia + 3 * i, 3, factors.mass[i]);
  }
  for (int i = 0; i < ngeom; ++i) scale(view->geom_friction + 3 * i, 3, factors.friction[i]);
  for (int i = 0; i < ngeom; ++i) {
    if (factors.size[i] == 1) continue;
    scale(view->geom_size + 3 * i, 3, factors.size[i]);
    scale(view->geom_rbound + i, 1, factors.size[i]);
    scale(view->geom_aabb + 6 * i, 6, factors.size[i]);
    // Boxes around several geoms keep the old sizes, so every pair is checked instead.
    view->opt.disableflags |= mjDSBL_MIDPHASE;
  }
  for (int i = 0; i < nv; ++i)
    scale(view->dof_damping + i, 1, factors.damping[nominal.dof_jntid[i]]);
  // The first three numbers of fixed and affine actuators are the constant, the position and the
  // velocity term. Scaling both sides keeps the set point of a position servo.
  for (int i = 0; i < nu; ++i) {
    scale(view->actuator_gainprm + mjNGAIN * i, 3, factors.gain[i]);
    scale(view->actuator_biasprm + mjNBIAS * i, 3, factors.gain[i]);
  }
}

PhysicsFactors PhysicsFactors::Nominal(const mjModel& model) {
  return {.mass = std::vector<double>(model.nbody, 1.0),
          .friction = std::vector<double>(model.ngeom, 1.0),
          .damping = std::vector<double>(model.njnt, 1.0),
          .gain = std::vector<double>(model.nu, 1.0),
          .size = std::vector<double>(model.ngeom, 1.0)};
}

PhysicsFactors PhysicsFactors::operator*(const PhysicsFactors& other) const {
  PhysicsFactors product = *this;
  const auto multiply = [](std::vector<double>* mine, const std::vector<double>& others) {
    MENTOR_CHECK(mine->size() == others.size());
    for (size_t i = 0; i < mine->size(); ++i) (*mine)[i] *= others[i];
  };
  multiply(&product.mass, other.mass);
  multiply(&product.friction, other.friction);
  multiply(&product.damping, other.damping);
  multiply(&product.gain, other.gain);
  multiply(&product.size, other.size);
  return product;
}

std::string PhysicsFactors::Tag() const {
  // Sizes belong to the model, so the numbers alone tell the kinds apart.
  std::string bits;
  for (const std::vector<double>* kind : {&mass, &friction, &damping, &gain, &size}) {
    bits.append(reinterpret_cast<const char*>(kind->data()), kind->size() * sizeof(double));
  }
  return Sha256Hex(bits);
}

}  // namespace mentor::envs
