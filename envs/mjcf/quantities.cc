#include "envs/mjcf/quantities.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/edit_distance.h"
#include "common/printable.h"
#include "envs/simulation.h"

namespace mentor::envs::mjcf {
namespace {

constexpr mjtObj kNamed[] = {mjOBJ_BODY,  mjOBJ_SITE,   mjOBJ_GEOM,
                             mjOBJ_JOINT, mjOBJ_SENSOR, mjOBJ_ACTUATOR};

bool IsPoint(mjtObj type) {
  return type == mjOBJ_BODY || type == mjOBJ_SITE || type == mjOBJ_GEOM;
}

mjtNum* mjData::*PositionsOf(mjtObj type) {
  return type == mjOBJ_BODY   ? &mjData::xpos
         : type == mjOBJ_SITE ? &mjData::site_xpos
                              : &mjData::geom_xpos;
}
mjtNum* mjData::*MatricesOf(mjtObj type) {
  return type == mjOBJ_BODY   ? &mjData::xmat
         : type == mjOBJ_SITE ? &mjData::site_xmat
                              : &mjData::geom_xmat;
}

int CountOf(const mjModel& m, mjtObj type) {
  switch (type) {
    case mjOBJ_BODY:
      return m.nbody;
    case mjOBJ_SITE:
      return m.nsite;
    case mjOBJ_GEOM:
      return m.ngeom;
    case mjOBJ_JOINT:
      return m.njnt;
    case mjOBJ_SENSOR:
      return m.nsensor;
    case mjOBJ_ACTUATOR:
      return m.nu;
    default:
      return 0;
  }
}

absl::Status BadQuantity(const std::string& what) {
  return absl::InvalidArgumentError(what);
}

// The number of a component among `names`, or of "2"; negative: none.
int IndexOf(const std::string& component, const std::vector<std::string>& names) {
  int index = 0;
  if (absl::SimpleAtoi(component, &index) && index >= 0 && index < static_cast<int>(names.size()))
    return index;
  const auto found = std::find(names.begin(), names.end(), component);
  return found == names.end() ? -1 : static_cast<int>(found - names.begin());
}

// x, y, z where there are at most three.
std::vector<std::string> Axes(size_t size) {
  std::vector<std::string> names = {"x", "y", "z"};
  if (size <= 3) {
    names.resize(size);
    return names;
  }
  names.clear();
  for (size_t i = 0; i < size; ++i) names.push_back(absl::StrCat(i));
  return names;
}

}  // namespace

const char* KindOf(mjtObj type) {
  switch (type) {
    case mjOBJ_BODY:
      return "body";
    case mjOBJ_SITE:
      return "site";
    case mjOBJ_GEOM:
      return "geom";
    case mjOBJ_JOINT:
      return "joint";
    case mjOBJ_SENSOR:
      return "sensor";
    case mjOBJ_ACTUATOR:
      return "actuator";
    default:
      return "part";
  }
}

std::string NameOf(const mjModel& model, const Part& part) {
  const char* name = mj_id2name(&model, part.type, part.id);
  return absl::StrCat(KindOf(part.type), " '", name == nullptr ? "" : Printable(name), "'");
}

int QposSize(const mjModel& model, int joint) {
  constexpr int kSizes[] = {7, 4, 1, 1};  // In the order of mjtJoint.
  return kSizes[model.jnt_type[joint]];
}

int QvelSize(const mjModel& model, int joint) {
  constexpr int kSizes[] = {6, 3, 1, 1};
  return kSizes[model.jnt_type[joint]];
}

int Quantities::Allocate(int size) {
  const int place = static_cast<int>(initial_.size());
  initial_.resize(initial_.size() + size, 0.0);
  return place;
}

int Quantities::Constant(double value) {
  const int place = Allocate(1);
  initial_[place] = value;
  return place;
}

int Quantities::AddOwn(const std::string& name, int size) {
  const int place = Allocate(size);
  std::vector<int>& places = own_[name];
  places.resize(size);
  std::iota(places.begin(), places.end(), place);
  return place;
}

int Quantities::CopyOf(mjtNum* mjData::*array, int index) {
  for (const Copy& copy : copies_) {
    if (copy.array == array && copy.index == index) return copy.place;
  }
  copies_.push_back({array, index, Allocate(1)});
  return copies_.back().place;
}

std::vector<int> Quantities::CopiesOf(mjtNum* mjData::*array, int first, int count) {
  std::vector<int> places;
  for (int i = 0; i < count; ++i) places.push_back(CopyOf(array, first + i));
  return places;
}

std::vector<int> Quantities::Position(const Part& part) {
  MENTOR_CHECK(IsPoint(part.type));
  return CopiesOf(PositionsOf(part.type), 3 * part.id, 3);
}

std::vector<int> Quantities::Orientation(const Part& part) {
  MENTOR_CHECK(IsPoint(part.type));
  const auto [known, added] = known_.try_emplace(absl::StrCat("turn ", part.type, " ", part.id), 0);
  if (added) {
    known->second = Allocate(4);
    turns_.push_back({part, known->second});
  }
  std::vector<int> places(4);
  std::iota(places.begin(), places.end(), known->second);
  return places;
}

std::vector<int> Quantities::Qpos(int joint) {
  return CopiesOf(&mjData::qpos, model_.jnt_qposadr[joint], QposSize(model_, joint));
}

std::vector<int> Quantities::Qvel(int joint) {
  return CopiesOf(&mjData::qvel, model_.jnt_dofadr[joint], QvelSize(model_, joint));
}

std::vector<int> Quantities::Sensor(int sensor) {
  return CopiesOf(&mjData::sensordata, model_.sensor_adr[sensor], model_.sensor_dim[sensor]);
}

std::vector<std::string> Quantities::KnownNames() const {
  std::vector<std::string> names;
  for (const auto& [name, places] : own_) names.push_back(name);
  for (const auto& [name, part] : aliases_) names.push_back(name);
  for (const mjtObj type : kNamed) {
    for (int id = 0; id < CountOf(model_, type); ++id) {
      if (const char* name = mj_id2name(&model_, type, id)) names.emplace_back(Printable(name));
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

absl::StatusOr<Part> Quantities::FindPart(const std::string& name,
                                          std::span<const mjtObj> types) const {
  std::vector<std::string> kinds;
  for (const mjtObj type : types) kinds.emplace_back(KindOf(type));
  const auto alias = aliases_.find(name);
  if (alias != aliases_.end() &&
      std::find(types.begin(), types.end(), alias->second.type) != types.end())
    return alias->second;
  std::vector<Part> found;
  for (const mjtObj type : types) {
    const int id = mj_name2id(&model_, type, name.c_str());
    if (id >= 0) found.push_back({type, id});
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    std::vector<std::string> names;
    for (const mjtObj type : types) {
      for (int id = 0; id < CountOf(model_, type); ++id) {
        const char* known = mj_id2name(&model_, type, id);
        if (known != nullptr) names.emplace_back(Printable(known));
      }
    }
    if (names.empty()) {
      return BadQuantity(absl::StrCat("there is no ", absl::StrJoin(kinds, ", "), " '",
                                      Printable(name),
                                      "', and the model names none; name it there"));
    }
    return BadQuantity(absl::StrCat("there is no ", absl::StrJoin(kinds, ", "), " '",
                                    Printable(name), "'; ", NameHint(name, names)));
  }
  kinds.clear();
  for (const Part& part : found) kinds.emplace_back(KindOf(part.type));
  return BadQuantity(absl::StrCat("'", Printable(name), "' is a ", absl::StrJoin(kinds, " and a "),
                                  "; say which one: quantity { name: \"NAME\" ", kinds[0], ": \"",
                                  Printable(name), "\" } gives it a name of its own"));
}

absl::StatusOr<std::vector<int>> Quantities::Find(const std::string& name,
                                                  const std::string& component) {
  if (const auto own = own_.find(name); own != own_.end()) {
    if (component.empty()) return own->second;
    const std::vector<std::string> axes = Axes(own->second.size());
    const int index = own->second.size() == 1 && component != "0" ? -1 : IndexOf(component, axes);
    if (index >= 0) return std::vector<int>{own->second[index]};
    return BadQuantity(
        absl::StrCat("'", name, "' has no component '", Printable(component), "'; ",
                     own->second.size() == 1
                         ? "it is one number"
                         : absl::StrCat("it has ", own->second.size(), ", from ", name, "[0] on")));
  }
  bool known = aliases_.contains(name);
  for (const mjtObj type : kNamed) known = known || mj_name2id(&model_, type, name.c_str()) >= 0;
  if (!known) {
    return absl::NotFoundError(
        absl::StrCat("unknown name '", Printable(name), "'; ", NameHint(name, KnownNames())));
  }
  MENTOR_ASSIGN_OR_RETURN(const Part part, FindPart(name, kNamed));
  return OfPart(part, component);
}

absl::StatusOr<std::vector<int>> Quantities::OfPart(const Part& part,
                                                    const std::string& component) {
  std::vector<std::string> names;
  if (IsPoint(part.type)) {
    if (component.empty()) return Position(part);
    names = {"x", "y", "z", "vx", "vy", "vz", "wx", "wy", "wz"};
    int index = IndexOf(component, names);
    if (index >= 0 && index < 3) return std::vector<int>{Position(part)[index]};
    if (index >= 3) {
      const auto [found, added] =
          known_.try_emplace(absl::StrCat("motion ", part.type, " ", part.id), 0);
      if (added) {
        found->second = Allocate(6);
        motions_.push_back({part, found->second});
      }
      return std::vector<int>{found->second + index - 3};
    }
    std::vector<std::string> matrix;
    for (int row = 1; row <= 3; ++row) {
      for (int column = 1; column <= 3; ++column) matrix.push_back(absl::StrCat("r", row, column));
    }
    index = IndexOf(component, matrix);
    if (index >= 0 && component[0] == 'r')
      return std::vector<int>{CopyOf(MatricesOf(part.type), 9 * part.id + index)};
    names.insert(names.end(), matrix.begin(), matrix.end());
  } else if (part.type == mjOBJ_JOINT) {
    const int q = model_.jnt_qposadr[part.id], v = model_.jnt_dofadr[part.id];
    std::vector<int> places = Qpos(part.id);
    const int qpos_size = static_cast<int>(places.size());
    switch (model_.jnt_type[part.id]) {
      case mjJNT_FREE:
        if (component.empty()) return CopiesOf(&mjData::qpos, q, 3);
        names = {"x", "y", "z", "qw", "qx", "qy", "qz", "vx", "vy", "vz", "wx", "wy", "wz"};
        break;
      case mjJNT_BALL:
        if (component.empty()) return places;
        names = {"qw", "qx", "qy", "qz", "wx", "wy", "wz"};
        break;
      default:
        if (component.empty()) return places;
        names = {"q", "v"};
    }
    const int index = IndexOf(component, names);
    if (index >= 0) {
      return std::vector<int>{index < qpos_size ? CopyOf(&mjData::qpos, q + index)
                                                : CopyOf(&mjData::qvel, v + index - qpos_size)};
    }
  } else if (part.type == mjOBJ_SENSOR) {
    const std::vector<int> places = Sensor(part.id);
    if (component.empty()) return places;
    names = Axes(places.size());
    const int index = IndexOf(component, names);
    if (index >= 0) return std::vector<int>{places[index]};
  } else if (part.type == mjOBJ_ACTUATOR) {
    names = {"ctrl", "force", "length", "velocity"};
    mjtNum* mjData::*const arrays[] = {&mjData::ctrl, &mjData::actuator_force,
                                       &mjData::actuator_length, &mjData::actuator_velocity};
    const int index = component.empty() ? 0 : IndexOf(component, names);
    if (index >= 0) return std::vector<int>{CopyOf(arrays[index], part.id)};
  }
  return BadQuantity(absl::StrCat(NameOf(model_, part), " has no component '", Printable(component),
                                  "'; there are ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<int> Quantities::Contact(const std::string& geom, const std::string& other) {
  constexpr mjtObj kGeom[] = {mjOBJ_GEOM};
  MENTOR_ASSIGN_OR_RETURN(const Part first, FindPart(geom, kGeom));
  MENTOR_ASSIGN_OR_RETURN(const Part second, FindPart(other, kGeom));
  const auto [known, added] =
      known_.try_emplace(absl::StrCat("touch ", first.id, " ", second.id), 0);
  if (added) {
    known->second = Allocate(1);
    touches_.push_back({first.id, second.id, known->second});
  }
  return known->second;
}

absl::StatusOr<int> Quantities::Force(const std::string& sensor) {
  constexpr mjtObj kSensor[] = {mjOBJ_SENSOR};
  MENTOR_ASSIGN_OR_RETURN(const Part part, FindPart(sensor, kSensor));
  const int type = model_.sensor_type[part.id];
  if (type != mjSENS_TOUCH && type != mjSENS_FORCE && type != mjSENS_TORQUE) {
    return BadQuantity(absl::StrCat(NameOf(model_, part),
                                    " measures no force; give a touch, force or torque sensor"));
  }
  const auto [known, added] = known_.try_emplace(absl::StrCat("force ", part.id), 0);
  if (added) {
    known->second = Allocate(1);
    strengths_.push_back({model_.sensor_adr[part.id], model_.sensor_dim[part.id], known->second});
  }
  return known->second;
}

void Quantities::Gather(const mjModel& model, const mjData& data, std::span<double> numbers) const {
  for (const Copy& copy : copies_) numbers[copy.place] = (data.*copy.array)[copy.index];
  for (const Motion& motion : motions_) {
    // In the body's own frame, like the body's position; angular first.
    const int type = motion.part.type == mjOBJ_BODY ? mjOBJ_XBODY : motion.part.type;
    mjtNum velocity[6];
    mj_objectVelocity(&model, &data, type, motion.part.id, velocity, /*flg_local=*/0);
    for (int i = 0; i < 3; ++i) {
      numbers[motion.place + i] = velocity[3 + i];
      numbers[motion.place + 3 + i] = velocity[i];
    }
  }
  for (const Turn& turn : turns_) {
    QuaternionOf((data.*MatricesOf(turn.part.type)) + 9 * turn.part.id,
                 std::span<double, 4>(&numbers[turn.place], 4));
  }
  for (const Touch& touch : touches_) {
    bool touching = false;
    for (int i = 0; i < data.ncon && !touching; ++i) {
      const mjContact& contact = data.contact[i];
      touching = (contact.geom[0] == touch.geom && contact.geom[1] == touch.other) ||
                 (contact.geom[1] == touch.geom && contact.geom[0] == touch.other);
    }
    numbers[touch.place] = touching ? 1 : 0;
  }
  for (const Strength& strength : strengths_) {
    double sum = 0;
    for (int i = 0; i < strength.size; ++i) {
      const double force = data.sensordata[strength.first + i];
      sum += force * force;
    }
    numbers[strength.place] = std::sqrt(sum);
  }
}

}  // namespace mentor::envs::mjcf
