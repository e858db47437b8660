// The parts of a bundle's model by name, without MuJoCo's types: what a first task for a model is
// made from. Thread-safe.
#pragma once

#include <set>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "common/bundle_finder.h"

namespace mentor::envs::mjcf {

// Parts without a name have an empty one.
struct ModelParts {
  struct Place {
    std::string name;
    int depth = 0;  // Bodies between it and the world; 0: it belongs to the world.
  };
  struct Joint {
    std::string name;
    bool is_scalar = false;  // A hinge or a slide.
  };
  struct Actuator {
    std::string name;
    bool is_limited = false;  // It has a ctrlrange.
  };
  double timestep = 0;                      // Seconds.
  std::vector<Place> bodies, sites, geoms;  // Without the world.
  std::vector<Joint> joints;
  std::vector<Actuator> actuators;
  std::set<std::string> names;  // All names that expressions of a task may have.
};

// Compiles the model; errors are those of CompileModel (bundle_model.h).
absl::StatusOr<ModelParts> ReadModelParts(const HeldBundle& bundle, const std::string& file);

}  // namespace mentor::envs::mjcf
