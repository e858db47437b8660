// The numbers that expressions of a task may name, laid out in one array: parts of the model,
// parameters, results. Compiling the expressions builds the layout; afterwards it is immutable and
// threads may share it.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <mujoco/mujoco.h>

#include "envs/mjcf/expression.h"

namespace mentor::envs::mjcf {

// A part of the model.
struct Part {
  mjtObj type = mjOBJ_UNKNOWN;
  int id = -1;
  bool operator<(const Part& other) const {
    return type != other.type ? type < other.type : id < other.id;
  }
  bool operator==(const Part&) const = default;
};

// "body 'hand'"
std::string NameOf(const mjModel& model, const Part& part);
const char* KindOf(mjtObj type);
int QposSize(const mjModel& model, int joint);
int QvelSize(const mjModel& model, int joint);

class Quantities : public Scope {
 public:
  explicit Quantities(const mjModel& model) : model_(model) {}

  // Another name for a part.
  void AddAlias(const std::string& name, const Part& part) { aliases_[name] = part; }
  // A name for numbers that the environment writes itself; their places are consecutive.
  int AddOwn(const std::string& name, int size);
  void AddOwnConstant(const std::string& name, double value) { own_[name] = {Constant(value)}; }
  // Places without a name.
  int Allocate(int size);
  // A constant.
  int Constant(double value);
  // Values before anything is gathered.
  const std::vector<double>& initial() const { return initial_; }

  // The part of this name among these types. INVALID_ARGUMENT for none, with near names, and for
  // several.
  absl::StatusOr<Part> FindPart(const std::string& name, std::span<const mjtObj> types) const;

  absl::StatusOr<std::vector<int>> Find(const std::string& name,
                                        const std::string& component) override;
  absl::StatusOr<int> Contact(const std::string& geom, const std::string& other) override;
  absl::StatusOr<int> Force(const std::string& sensor) override;

  // Places of numbers of a part.
  std::vector<int> Position(const Part& part);     // x, y, z
  std::vector<int> Orientation(const Part& part);  // x, y, z, w
  std::vector<int> Qpos(int joint);
  std::vector<int> Qvel(int joint);
  std::vector<int> Sensor(int sensor);

  // Reads all of them from the simulation, after a forward pass or a step.
  void Gather(const mjModel& model, const mjData& data, std::span<double> numbers) const;

 private:
  struct Copy {
    mjtNum* mjData::*array;
    int index, place;
  };
  struct Motion {
    Part part;
    int place;  // Index into vx, vy, vz, wx, wy, wz.
  };
  struct Turn {
    Part part;
    int place;
  };
  struct Touch {
    int geom, other, place;
  };
  struct Strength {
    int first, size, place;  // In sensordata.
  };

  absl::StatusOr<std::vector<int>> OfPart(const Part& part, const std::string& component);
  int CopyOf(mjtNum* mjData::*array, int index);
  std::vector<int> CopiesOf(mjtNum* mjData::*array, int first, int count);
  std::vector<std::string> KnownNames() const;

  const mjModel& model_;  // While it is built.
  std::map<std::string, Part> aliases_;
  std::map<std::string, std::vector<int>> own_;
  std::map<std::string, int> known_;  // Places of earlier requests, by what they hold.
  std::vector<double> initial_;
  std::vector<Copy> copies_;
  std::vector<Motion> motions_;
  std::vector<Turn> turns_;
  std::vector<Touch> touches_;
  std::vector<Strength> strengths_;
};

}  // namespace mentor::envs::mjcf
