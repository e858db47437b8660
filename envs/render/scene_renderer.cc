#include "envs/render/scene_renderer.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/mutex.h"
#include "envs/camera.h"

namespace mentor::envs {
namespace {

constexpr int kGeomsMax = 5000;
// A larger shadow map costs more time than it gives.
constexpr int kShadowMapMax = 2048;
// On both sides of the mark in a caption, together.
constexpr int kMarkMargin = 12;

// Turns what MuJoCo throws into INTERNAL.
template <typename Work>
absl::Status Guard(Work&& work) {
  try {
    work();
    return absl::OkStatus();
  } catch (const MuJoCoError& error) {
    return absl::InternalError(absl::StrCat("MuJoCo: ", error.what()));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SceneRenderer>> SceneRenderer::Create(const mjModel& model,
                                                                     const Options& options) {
  // MuJoCo looks for OpenGL's functions in the whole process, and keeps them for all threads.
  static Mutex mutex;
  const MutexLock lock(mutex);
  InstallMuJoCoHandlers();
  std::unique_ptr<SceneRenderer> made(new SceneRenderer(options));
  mjv_defaultScene(&made->scene_);
  mjr_defaultContext(&made->context_);
  mjv_defaultOption(&made->visible_);
  absl::StatusOr<mjvCamera> camera = mjvCamera();
  MENTOR_RETURN_IF_ERROR(Guard([&] { camera = FindCamera(model, options.camera); }));
  MENTOR_ASSIGN_OR_RETURN(made->camera_, camera);
  MENTOR_ASSIGN_OR_RETURN(made->gl_, GlContext::Create(options.library));
  // Sizes of buffers are read from the model; only this view of it has ours.
  mjModel view = model;
  view.vis.global.offwidth = options.width;
  view.vis.global.offheight = options.height + kCaptionHeight;
  view.vis.quality.shadowsize = std::min(view.vis.quality.shadowsize, kShadowMapMax);
  const GlContext::Use use(made->gl_.get());
  MENTOR_RETURN_IF_ERROR(Guard([&] {
    made->data_.reset(mj_makeData(&model));
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
  if (gl_ != nullptr) {
    const GlContext::Use use(gl_.get());
    mjr_freeContext(&context_);
  }
  mjv_freeScene(&scene_);
}

void SceneRenderer::WriteCaption(const Caption& caption) {
  constexpr int kLine = kCaptionHeight / 3;
  constexpr float kDark = 0.12F, kLight = 0.92F;
  const auto width = [&](const std::string& text) {
    int sum = 0;
    for (const char c : text) sum += context_.charWidth[c & 127];
    return sum;
  };
  const auto write = [&](mjrRect place, std::string text, float red, float blue) {
    if (width(text) > place.width) {
      while (!text.empty() && width(text + "...") > place.width) text.pop_back();
      text += "...";
    }
    mjr_label(place, mjFONT_NORMAL, text.c_str(), kDark, kDark, kDark, 1, red, kLight, blue,
              &context_);
  };
  // As many words as fit; a first one that does not fit is cut.
  size_t end = caption.title.size();
  while (width(caption.title.substr(0, end)) > options_.width) {
    const size_t space = end == 0 ? std::string::npos : caption.title.rfind(' ', end - 1);
    if (space == std::string::npos) {
      end = caption.title.size();
      break;
    }
    end = space;
  }
  const std::string rest =
      end < caption.title.size() ? caption.title.substr(end + 1) : std::string();
  const int mark = caption.mark.empty() ? 0 : width(caption.mark) + kMarkMargin;
  write({0, 2 * kLine, options_.width, kLine}, caption.title.substr(0, end), kLight, kLight);
  write({0, kLine, options_.width - mark, kLine}, rest, kLight, kLight);
  if (mark > 0) write({options_.width - mark, kLine, mark, kLine}, caption.mark, 0.4F, 0.4F);
  write({0, 0, options_.width, kLine}, caption.numbers, kLight, kLight);
}

absl::StatusOr<Picture> SceneRenderer::Draw(const mjModel& model, std::span<const double> state,
                                            const Caption& caption) {
  const mjrRect scene = {0, kCaptionHeight, options_.width, options_.height};
  const mjrRect all = {0, 0, options_.width, options_.height + kCaptionHeight};
  Picture upside_down(all.width, all.height), picture = upside_down;
  const GlContext::Use use(gl_.get());
  if (!use.ok()) return absl::InternalError("OSMesa cannot use its OpenGL context");
  MENTOR_RETURN_IF_ERROR(Guard([&] {
    mj_setState(&model, data_.get(), state.data(), mjSTATE_INTEGRATION);
    // An integrator may leave derived positions older than the state.
    mj_forward(&model, data_.get());
    mjv_updateScene(&model, data_.get(), &visible_, nullptr, &camera_, mjCAT_ALL, &scene_);
    mjr_render(scene, &scene_, &context_);
    WriteCaption(caption);
    mjr_readPixels(upside_down.rgb.data(), nullptr, all, &context_);
  }));
  for (int y = 0; y < picture.height; ++y) {
    std::copy_n(upside_down.Row(picture.height - 1 - y), 3 * picture.width, picture.Row(y));
  }
  return picture;
}

}  // namespace mentor::envs
