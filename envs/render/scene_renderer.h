// Draws MuJoCo simulations of one model as pictures, on the CPU. The same simulation gives the same
// pixels. Used by the thread that made it.
#pragma once

#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include "envs/render/gl_context.h"
#include "envs/render/picture.h"
#include "envs/simulation.h"

namespace mentor::envs {

// What is written over a picture; lines end with \n. Empty: nothing.
struct Caption {
  std::string lower_left, upper_right;
};

class SceneRenderer {
 public:
  struct Options {
    int width = 480, height = 360;  // Size of a picture, in pixels.
    std::string camera;             // Empty: the scene's default (envs/camera.h).
    std::string library = kGlLibrary;
  };
  // `simulation` gives the model.
  static absl::StatusOr<std::unique_ptr<SceneRenderer>> Create(Simulation& simulation,
                                                               const Options& options);
  ~SceneRenderer();

  // What the positions of the simulation show. The rest of its data is computed again.
  absl::StatusOr<Picture> Draw(Simulation& simulation, const Caption& caption);

 private:
  explicit SceneRenderer(const Options& options) : options_(options) {}

  // Fixed after construction.
  const Options options_;
  std::unique_ptr<GlContext> gl_;  // Outlives what MuJoCo has in it.
  mjvCamera camera_;
  mjvOption visible_;
  mjvScene scene_;
  mjrContext context_;
};

}  // namespace mentor::envs
