#include "envs/mjcf/model_parts.h"

#include <mujoco/mujoco.h>

#include "common/check.h"
#include "envs/mjcf/bundle_model.h"

namespace mentor::envs::mjcf {
namespace {

int DepthOf(const mjModel& m, int body) {
  int depth = 0;
  for (; body > 0; body = m.body_parentid[body]) ++depth;
  return depth;
}

}  // namespace

absl::StatusOr<ModelParts> ReadModelParts(const HeldBundle& bundle, const std::string& file) {
  MENTOR_ASSIGN_OR_RETURN(const auto model, CompileModel(bundle, file));
  const mjModel& m = *model;
  ModelParts parts;
  parts.timestep = m.opt.timestep;
  const auto name_of = [&](mjtObj kind, int id) {
    const char* name = mj_id2name(&m, kind, id);
    std::string text = name == nullptr ? "" : name;
    parts.names.insert(text);
    return text;
  };
  for (int id = 1; id < m.nbody; ++id)
    parts.bodies.push_back({name_of(mjOBJ_BODY, id), DepthOf(m, id)});
  for (int id = 0; id < m.nsite; ++id)
    parts.sites.push_back({name_of(mjOBJ_SITE, id), DepthOf(m, m.site_bodyid[id])});
  for (int id = 0; id < m.njnt; ++id) {
    parts.joints.push_back(
        {name_of(mjOBJ_JOINT, id), m.jnt_type[id] == mjJNT_HINGE || m.jnt_type[id] == mjJNT_SLIDE});
  }
  for (int id = 0; id < m.nu; ++id)
    parts.actuators.push_back({name_of(mjOBJ_ACTUATOR, id), m.actuator_ctrllimited[id] != 0});
  for (int id = 0; id < m.ngeom; ++id)
    parts.geoms.push_back({name_of(mjOBJ_GEOM, id), DepthOf(m, m.geom_bodyid[id])});
  for (int id = 0; id < m.nsensor; ++id) name_of(mjOBJ_SENSOR, id);
  return parts;
}

}  // namespace mentor::envs::mjcf
