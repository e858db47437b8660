#include "envs/render/film.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "envs/camera.h"
#include "envs/mujoco_environment.h"
#include "envs/render/film_file.h"
#include "envs/render/scene_renderer.h"

namespace mentor::envs {
namespace {

constexpr int kSizeMin = 64, kSizeMax = 4096;
// Browsers show a GIF of more than 50 frames a second slowly.
constexpr double kGifFpsMax = 50;
constexpr int kSheetColumns = 4;

struct Size {
  int width, height;
};

Size PanelSize(const FilmSettings& settings, FilmFormat format) {
  // A GIF has no compression to speak of.
  const bool small =
      format == FilmFormat::kGif || (format == FilmFormat::kPng && settings.frames > 1);
  return {settings.width > 0 ? settings.width
          : small            ? 320
                             : 480,
          settings.height > 0 ? settings.height
          : small             ? 240
                              : 360};
}

absl::StatusOr<MuJoCoEnvironment*> SceneOf(Environment& environment) {
  if (auto* found = dynamic_cast<MuJoCoEnvironment*>(&environment.unwrapped())) return found;
  return absl::InvalidArgumentError(absl::StrCat(
      environment.info().name,
      " has no scene to draw; environments on MuJoCo have one: mentor env list shows them"));
}

// Draws the moments of one shot.
absl::StatusOr<Picture> Draw(SceneRenderer& renderer, const Shot& shot, size_t index) {
  const std::vector<Moment>& moments = shot.episode.moments;
  index = std::min(index, moments.size() - 1);  // A shorter episode waits at its end.
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * scene, SceneOf(*shot.environment));
  MENTOR_RETURN_IF_ERROR(scene->SetSimulatorState(moments[index].simulator));
  double sum = 0;
  bool success = false;
  for (size_t i = 0; i <= index; ++i) {
    sum += moments[i].reward;
    success |= moments[i].success;
  }
  const Caption caption = {
      .lower_left = absl::StrFormat("%s\nstep %d  reward %.3g  return %.4g", shot.title, index,
                                    moments[index].reward, sum),
      .upper_right = moments[index].success ? "success"
                     : success              ? "success before"
                                            : ""};
  return renderer.Draw(scene->simulation(), caption);
}

// The moments that a film shows: every k-th, and the last.
std::vector<size_t> FilmMoments(size_t longest, size_t every) {
  std::vector<size_t> chosen;
  for (size_t i = 0; i < longest; i += every) chosen.push_back(i);
  if (chosen.back() != longest - 1) chosen.push_back(longest - 1);
  return chosen;
}

// `count` moments at equal distances from the first to the last; the last alone for one.
std::vector<size_t> SheetMoments(size_t moments, int count) {
  std::vector<size_t> chosen;
  const size_t last = moments - 1, n = std::min<size_t>(count, moments);
  for (size_t i = 0; i < n; ++i) chosen.push_back(n == 1 ? last : i * last / (n - 1));
  return chosen;
}

class Filming {
 public:
  Filming(const FilmSettings& settings, FilmFormat format, std::span<const Shot> shots,
          SceneRenderer& renderer, const Progress& progress)
      : settings_(settings),
        format_(format),
        size_(PanelSize(settings, format)),
        shots_(shots),
        renderer_(renderer),
        progress_(progress) {}

  absl::Status Run() { return format_ == FilmFormat::kPng ? Sheet() : Film(); }

 private:
  // One row of moments after the other, for one shot after the other.
  absl::Status Sheet() {
    const int columns = std::min(settings_.frames, kSheetColumns);
    const int rows = (settings_.frames + columns - 1) / columns;
    Picture sheet(columns * size_.width, static_cast<int>(shots_.size()) * rows * size_.height);
    std::fill(sheet.rgb.begin(), sheet.rgb.end(), 255);
    int drawn = 0;
    for (size_t s = 0; s < shots_.size(); ++s) {
      const auto chosen = SheetMoments(shots_[s].episode.moments.size(), settings_.frames);
      for (size_t i = 0; i < chosen.size(); ++i) {
        MENTOR_ASSIGN_OR_RETURN(const Picture panel, Draw(renderer_, shots_[s], chosen[i]));
        const int row = static_cast<int>(s) * rows + static_cast<int>(i) / columns;
        sheet.Paste(panel, static_cast<int>(i) % columns * size_.width, row * size_.height);
        if (!progress_(++drawn, settings_.frames * static_cast<int>(shots_.size())))
          return absl::CancelledError("stopped");
      }
    }
    MENTOR_ASSIGN_OR_RETURN(
        const auto file,
        FilmFile::Create(settings_.out, sheet.width, sheet.height, /*fps=*/1, settings_.ffmpeg));
    MENTOR_RETURN_IF_ERROR(file->Add(sheet));
    return file->Finish();
  }

  absl::Status Film() {
    const Shot* longest =
        &*std::max_element(shots_.begin(), shots_.end(), [](const Shot& a, const Shot& b) {
          return a.episode.moments.size() < b.episode.moments.size();
        });
    const std::vector<Moment>& moments = longest->episode.moments;
    // Steps a second as they are shown, and every which of them fits into the frames a second.
    const double seconds = moments.size() > 1 ? moments[1].seconds - moments[0].seconds : 1;
    const double shown = settings_.speed / seconds;
    const double fps_max = settings_.fps > 0             ? settings_.fps
                           : format_ == FilmFormat::kGif ? kGifFpsMax * 0.4
                                                         : 40;
    const auto every = static_cast<size_t>(std::max(1.0, std::ceil(shown / fps_max - 1e-9)));
    const std::vector<size_t> chosen = FilmMoments(moments.size(), every);

    const int width = static_cast<int>(shots_.size()) * size_.width;
    MENTOR_ASSIGN_OR_RETURN(const auto file,
                            FilmFile::Create(settings_.out, width, size_.height,
                                             shown / static_cast<double>(every), settings_.ffmpeg));
    Picture frame(width, size_.height);
    for (size_t i = 0; i < chosen.size(); ++i) {
      for (size_t s = 0; s < shots_.size(); ++s) {
        MENTOR_ASSIGN_OR_RETURN(const Picture panel, Draw(renderer_, shots_[s], chosen[i]));
        frame.Paste(panel, static_cast<int>(s) * size_.width, 0);
      }
      MENTOR_RETURN_IF_ERROR(file->Add(frame));
      if (!progress_(static_cast<int>(i) + 1, static_cast<int>(chosen.size())))
        return absl::CancelledError("stopped");
    }
    return file->Finish();
  }

  const FilmSettings& settings_;
  const FilmFormat format_;
  const Size size_;
  const std::span<const Shot> shots_;
  SceneRenderer& renderer_;
  const Progress& progress_;
};

}  // namespace

absl::Status CheckFilm(const FilmSettings& settings, Environment& environment) {
  MENTOR_ASSIGN_OR_RETURN(const FilmFormat format, FilmFormatOf(settings.out));
  const Size size = PanelSize(settings, format);
  for (const int side : {size.width, size.height}) {
    if (side < kSizeMin || side > kSizeMax) {
      return absl::InvalidArgumentError(
          absl::StrFormat("pictures of %dx%d pixels; each side must be from %d to %d", size.width,
                          size.height, kSizeMin, kSizeMax));
    }
  }
  if (format == FilmFormat::kGif && settings.fps > kGifFpsMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%g frames a second; a GIF shows at most %g, an .mp4 more", settings.fps, kGifFpsMax));
  }
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * scene, SceneOf(environment));
  MENTOR_RETURN_IF_ERROR(FindCamera(*scene->simulation().model(), settings.camera).status());
  MENTOR_RETURN_IF_ERROR(CheckEncoder(settings.ffmpeg));
  return GlContext::Create(settings.gl_library).status();
}

absl::Status MakeFilm(const FilmSettings& settings, std::span<const Shot> shots,
                      const Progress& progress) {
  MENTOR_CHECK(!shots.empty());
  MENTOR_ASSIGN_OR_RETURN(const FilmFormat format, FilmFormatOf(settings.out));
  const Size size = PanelSize(settings, format);
  MENTOR_ASSIGN_OR_RETURN(MuJoCoEnvironment * scene, SceneOf(*shots[0].environment));
  MENTOR_ASSIGN_OR_RETURN(
      const auto renderer,
      SceneRenderer::Create(scene->simulation(), {.width = size.width,
                                                  .height = size.height,
                                                  .camera = settings.camera,
                                                  .library = settings.gl_library}));
  return Filming(settings, format, shots, *renderer, progress).Run();
}

}  // namespace mentor::envs
