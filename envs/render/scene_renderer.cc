#include "envs/render/scene_renderer.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "envs/camera.h"

namespace mentor::envs {
namespace {

constexpr int kGeomsMax = 5000;
// A larger shadow map costs more time than it gives.
constexpr int kShadowMapMax = 2048;

}  // namespace

absl::StatusOr<std::unique_ptr<SceneRenderer>> SceneRenderer::Create(Simulation& simulation,
                                                                     const Options& options) {
  const mjModel& model = *simulation.model();
  std::unique_ptr<SceneRenderer> made(new SceneRenderer(options));
  mjv_defaultScene(&made->scene_);
  mjr_defaultContext(&made->context_);
  mjv_defaultOption(&made->visible_);
  absl::StatusOr<mjvCamera> camera = mjvCamera();
  MENTOR_RETURN_IF_ERROR(simulation.Guard([&] { camera = FindCamera(model, options.camera); }));
  MENTOR_ASSIGN_OR_RETURN(made->camera_, camera);
  MENTOR_ASSIGN_OR_RETURN(made->gl_, GlContext::Create(options.library));
  // Sizes of buffers are read from the model; only this view of it has ours.
  mjModel view = model;
  view.vis.global.offwidth = options.width;
  view.vis.global.offheight = options.height;
  view.vis.quality.shadowsize = std::min(view.vis.quality.shadowsize, kShadowMapMax);
  MENTOR_RETURN_IF_ERROR(simulation.Guard([&] {
    mjv_makeScene(&view, &made->scene_, kGeomsMax);
    mjr_makeContext(&view, &made->context_, mjFONTSCALE_100);
    mjr_setBuffer(mjFB_OFFSCREEN, &made->context_);
  }));
  if (made->context_.currentBuffer != mjFB_OFFSCREEN) {
    return absl::FailedPreconditionError(
        absl::StrCat(options.library, " has no frame buffers to draw pictures of ", options.width,
                     "x", options.height, " pixels in; give a smaller size"));
  }
  return made;
}

SceneRenderer::~SceneRenderer() {
  if (gl_ != nullptr) mjr_freeContext(&context_);
  mjv_freeScene(&scene_);
}

absl::StatusOr<Picture> SceneRenderer::Draw(Simulation& simulation, const Caption& caption) {
  const mjrRect all = {0, 0, options_.width, options_.height};
  Picture upside_down(options_.width, options_.height), picture = upside_down;
  const auto write = [&](int place, const std::string& text) {
    if (!text.empty()) mjr_overlay(mjFONT_NORMAL, place, all, text.c_str(), nullptr, &context_);
  };
  MENTOR_RETURN_IF_ERROR(simulation.Guard([&] {
    // An integrator may leave derived positions older than the state.
    mj_forward(simulation.model(), simulation.data());
    mjv_updateScene(simulation.model(), simulation.data(), &visible_, nullptr, &camera_, mjCAT_ALL,
                    &scene_);
    mjr_render(all, &scene_, &context_);
    write(mjGRID_BOTTOMLEFT, caption.lower_left);
    write(mjGRID_TOPRIGHT, caption.upper_right);
    mjr_readPixels(upside_down.rgb.data(), nullptr, all, &context_);
  }));
  for (int y = 0; y < picture.height; ++y) {
    std::copy_n(upside_down.Row(picture.height - 1 - y), 3 * picture.width, picture.Row(y));
  }
  return picture;
}

}  // namespace mentor::envs
