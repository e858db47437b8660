// Draws MuJoCo simulations of one model as pictures, on the CPU. The same state gives the same
// pixels. One thread at a time uses it, any one; others may draw with others beside it.
#pragma once

#include <memory>
#include <span>
#include <string>

#include <absl/status/statusor.h>

#include "envs/render/gl_context.h"
#include "envs/render/picture.h"
#include "envs/simulation.h"

namespace mentor::envs {

// The text below a picture, on its own strip: the title on two lines, a mark at the end of the
// second, and the numbers.
struct Caption {
  std::string title, numbers, mark;
};

class SceneRenderer {
 public:
  // The strip's, in pixels.
  static constexpr int kCaptionHeight = 54;

  struct Options {
    int width = 480, height = 360;  // Size of a scene, in pixels.
    std::string camera;             // Empty: the scene's default (envs/camera.h).
    std::string library = kGlLibrary;
  };
  // `model`, or one that differs in positions of bodies and sites and in physics, is drawn.
  static absl::StatusOr<std::unique_ptr<SceneRenderer>> Create(const mjModel& model,
                                                               const Options& options);
  ~SceneRenderer();

  // A scene in a state (mjSTATE_INTEGRATION), with the strip below it. INTERNAL when MuJoCo cannot.
  absl::StatusOr<Picture> Draw(const mjModel& model, std::span<const double> state,
                               const Caption& caption);

 private:
  explicit SceneRenderer(const Options& options) : options_(options) {}

  void WriteCaption(const Caption& caption);

  // Fixed after construction.
  const Options options_;
  std::unique_ptr<GlContext> gl_;  // Outlives what MuJoCo has in it.
  std::unique_ptr<mjData, void (*)(mjData*)> data_ = {nullptr, mj_deleteData};
  mjvCamera camera_;
  mjvOption visible_;
  mjvScene scene_;
  mjrContext context_;
};

}  // namespace mentor::envs
