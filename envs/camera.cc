#include "envs/camera.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

namespace mentor::envs {
namespace {

constexpr char kFree[] = "free";
constexpr char kTable[] = "table";
// Gymnasium's models have cameras that follow the moving body.
constexpr char kTrack[] = "track";
// The free view: its distance in diagonals of the scene, its elevation in degrees.
constexpr double kFreeDistance = 1.3;
constexpr double kFreeElevation = -35;

bool Has(const mjModel& model, const char* camera) {
  return mj_name2id(&model, mjOBJ_CAMERA, camera) >= 0;
}

// Meta-World's scenes have a table, and cameras that stand upside down or far away.
bool IsTableTop(const mjModel& model) {
  return Has(model, "corner2") && Has(model, "behindGripper");
}

// Looks at everything but planes, in the model's initial position. MuJoCo's default looks at wide
// floors from far away.
mjvCamera FreeCamera(const mjModel& model) {
  mjvCamera camera;
  mjv_defaultFreeCamera(&model, &camera);
  const std::unique_ptr<mjData, void (*)(mjData*)> data(mj_makeData(&model), mj_deleteData);
  mj_kinematics(&model, data.get());
  double low[3] = {1e9, 1e9, 1e9}, high[3] = {-1e9, -1e9, -1e9};
  for (int geom = 0; geom < model.ngeom; ++geom) {
    if (model.geom_type[geom] == mjGEOM_PLANE) continue;
    const mjtNum* box = model.geom_aabb + 6 * geom;  // Centre and half sizes, in the geom's frame.
    const mjtNum* rotation = data->geom_xmat + 9 * geom;
    for (int i = 0; i < 3; ++i) {
      const mjtNum* row = rotation + 3 * i;
      const double centre = data->geom_xpos[3 * geom + i] + mju_dot3(row, box);
      const double half =
          std::abs(row[0]) * box[3] + std::abs(row[1]) * box[4] + std::abs(row[2]) * box[5];
      low[i] = std::min(low[i], centre - half);
      high[i] = std::max(high[i], centre + half);
    }
  }
  if (low[0] > high[0]) return camera;
  double diagonal = 0;
  for (int i = 0; i < 3; ++i) {
    camera.lookat[i] = (low[i] + high[i]) / 2;
    diagonal += (high[i] - low[i]) * (high[i] - low[i]);
  }
  camera.distance = kFreeDistance * std::sqrt(diagonal);
  camera.elevation = kFreeElevation;
  return camera;
}

// Looks from the robot's right, along the table. The picture shows arm, goal and the fronts of
// doors and drawers, which face the robot.
mjvCamera TableCamera(const mjModel& model) {
  mjvCamera camera;
  mjv_defaultFreeCamera(&model, &camera);
  camera.lookat[0] = 0;
  camera.lookat[1] = 0.5;
  camera.lookat[2] = 0.18;
  camera.distance = 1.6;
  camera.azimuth = 165;
  camera.elevation = -25;
  return camera;
}

}  // namespace

std::vector<std::string> CameraNames(const mjModel& model) {
  std::vector<std::string> names;
  if (IsTableTop(model)) names.emplace_back(kTable);
  for (int i = 0; i < model.ncam; ++i) {
    if (const char* name = mj_id2name(&model, mjOBJ_CAMERA, i)) names.emplace_back(name);
  }
  names.emplace_back(kFree);
  const auto track = std::find(names.begin(), names.end(), kTrack);
  if (track != names.end()) {
    std::rotate(names.begin(), track, track + 1);
  } else if (!IsTableTop(model)) {
    std::rotate(names.begin(), names.end() - 1, names.end());
  }
  return names;
}

absl::StatusOr<mjvCamera> FindCamera(const mjModel& model, std::string_view name) {
  const std::vector<std::string> names = CameraNames(model);
  const std::string wanted = name.empty() ? names[0] : std::string(name);
  if (std::find(names.begin(), names.end(), wanted) == names.end()) {
    return absl::NotFoundError(absl::StrCat("unknown camera '", wanted,
                                            "'; the cameras of this scene are ",
                                            absl::StrJoin(names, ", ")));
  }
  const int id = mj_name2id(&model, mjOBJ_CAMERA, wanted.c_str());
  if (id < 0) return wanted == kTable ? TableCamera(model) : FreeCamera(model);
  mjvCamera camera;
  mjv_defaultCamera(&camera);
  camera.type = mjCAMERA_FIXED;
  camera.fixedcamid = id;
  return camera;
}

}  // namespace mentor::envs
