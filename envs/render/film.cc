#include "envs/render/film.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/mutex.h"
#include "envs/camera.h"
#include "envs/mujoco_environment.h"
#include "envs/render/film_file.h"
#include "envs/render/picture.h"
#include "envs/render/scene_renderer.h"

namespace mentor::envs {
namespace {

constexpr int kSizeMin = 64, kSizeMax = 4096;
// Browsers show a GIF of more than 50 frames a second slowly.
constexpr double kGifFpsMax = 50;
constexpr int kSheetColumns = 4;
constexpr int kThreadsMax = 16;

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

// A moment of a shot.
struct Panel {
  size_t shot = 0, moment = 0;
  bool operator==(const Panel&) const = default;
};

// Draws the pictures of a film or a sheet, each once, with one renderer a thread, and hands them
// out in order. The same pictures for any number of threads. Used by one thread.
class PanelDrawers {
 public:
  // The shots, all of one scene, outlive it.
  PanelDrawers(std::span<const Shot> shots, std::vector<Panel> panels,
               const SceneRenderer::Options& options, int threads);
  ~PanelDrawers();

  // The next panel. There must be one left.
  absl::StatusOr<Picture> Next();

 private:
  void Work();

  // Fixed after construction.
  const std::span<const Shot> shots_;
  const std::vector<Panel> panels_;
  const SceneRenderer::Options options_;
  const size_t ahead_;  // Panels that may be drawn before they are wanted.

  Mutex mutex_;
  CondVar changed_;
  size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;   // By threads,
  size_t handed_ ABSL_GUARDED_BY(mutex_) = 0;  // and out of here.
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<size_t, absl::StatusOr<Picture>> drawn_ ABSL_GUARDED_BY(mutex_);

  std::vector<std::jthread> threads_;
};

// The text below each moment of a shot.
std::vector<Caption> CaptionsOf(const Shot& shot) {
  std::vector<Caption> captions;
  double sum = 0;
  bool succeeded = false;
  for (const Moment& moment : shot.episode.moments) {
    sum += moment.reward;
    captions.push_back({.title = shot.title,
                        .numbers = absl::StrFormat("step %d  reward %.3g  return %.4g",
                                                   captions.size(), moment.reward, sum),
                        .mark = moment.success ? "success"
                                : succeeded    ? "success before"
                                               : ""});
    succeeded |= moment.success;
  }
  return captions;
}

const mjModel& ModelOf(const Shot& shot) {
  return *dynamic_cast<MuJoCoEnvironment&>(shot.environment->unwrapped()).simulation().model();
}

PanelDrawers::PanelDrawers(std::span<const Shot> shots, std::vector<Panel> panels,
                           const SceneRenderer::Options& options, int threads)
    : shots_(shots),
      panels_(std::move(panels)),
      options_(options),
      ahead_(size_t{4} * static_cast<size_t>(threads)) {
  const size_t count = std::min(static_cast<size_t>(threads), panels_.size());
  for (size_t i = 0; i < count; ++i) threads_.emplace_back([this] { Work(); });
}

PanelDrawers::~PanelDrawers() {
  const MutexLock lock(mutex_);
  stopped_ = true;
  changed_.NotifyAll();
}

void PanelDrawers::Work() {
  std::vector<std::vector<Caption>> captions;
  for (const Shot& shot : shots_) captions.push_back(CaptionsOf(shot));
  const auto renderer = SceneRenderer::Create(ModelOf(shots_[0]), options_);
  MutexLock lock(mutex_);
  while (true) {
    while (!stopped_ && taken_ < panels_.size() && taken_ >= handed_ + ahead_) changed_.Wait(lock);
    if (stopped_ || taken_ == panels_.size()) return;
    const size_t index = taken_++;
    lock.Unlock();
    const auto [shot, moment] = panels_[index];
    absl::StatusOr<Picture> picture =
        renderer.ok() ? (*renderer)->Draw(ModelOf(shots_[shot]),
                                          shots_[shot].episode.moments[moment].simulator,
                                          captions[shot][moment])
                      : renderer.status();
    lock.Lock();
    drawn_.emplace(index, std::move(picture));
    changed_.NotifyAll();
  }
}

absl::StatusOr<Picture> PanelDrawers::Next() {
  MutexLock lock(mutex_);
  MENTOR_CHECK(handed_ < panels_.size());
  while (!drawn_.contains(handed_)) changed_.Wait(lock);
  absl::StatusOr<Picture> picture = std::move(drawn_.extract(handed_).mapped());
  ++handed_;
  changed_.NotifyAll();
  return picture;
}

class Filming {
 public:
  Filming(const FilmSettings& settings, FilmFormat format, std::span<const Shot> shots,
          const Progress& progress)
      : settings_(settings),
        format_(format),
        size_(PanelSize(settings, format)),
        panel_height_(size_.height + SceneRenderer::kCaptionHeight),
        shots_(shots),
        progress_(progress) {}

  absl::Status Run() { return format_ == FilmFormat::kPng ? Sheet() : Film(); }

 private:
  PanelDrawers Draw(std::vector<Panel> panels) const {
    const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    return {shots_,
            std::move(panels),
            {.width = size_.width,
             .height = size_.height,
             .camera = settings_.camera,
             .library = settings_.gl_library},
            std::min(settings_.threads > 0 ? settings_.threads : cores, kThreadsMax)};
  }

  // One row of moments after the other, for one shot after the other.
  absl::Status Sheet() {
    const int columns = std::min(settings_.frames, kSheetColumns);
    const int rows = (settings_.frames + columns - 1) / columns;
    Picture sheet(columns * size_.width, static_cast<int>(shots_.size()) * rows * panel_height_);
    std::fill(sheet.rgb.begin(), sheet.rgb.end(), 255);
    std::vector<Panel> panels;
    std::vector<std::pair<int, int>> places;
    for (size_t s = 0; s < shots_.size(); ++s) {
      const auto chosen = SheetMoments(shots_[s].episode.moments.size(), settings_.frames);
      for (size_t i = 0; i < chosen.size(); ++i) {
        panels.push_back({.shot = s, .moment = chosen[i]});
        const int row = static_cast<int>(s) * rows + static_cast<int>(i) / columns;
        places.emplace_back(static_cast<int>(i) % columns * size_.width, row * panel_height_);
      }
    }
    PanelDrawers drawers = Draw(panels);
    for (size_t i = 0; i < panels.size(); ++i) {
      MENTOR_ASSIGN_OR_RETURN(const Picture panel, drawers.Next());
      sheet.Paste(panel, places[i].first, places[i].second);
      if (!progress_(static_cast<int>(i) + 1, static_cast<int>(panels.size())))
        return absl::CancelledError("stopped");
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
                                                         : 30;
    const auto every = static_cast<size_t>(std::max(1.0, std::ceil(shown / fps_max - 1e-9)));
    const std::vector<size_t> chosen = FilmMoments(moments.size(), every);

    // The panels that change from frame to frame. A shorter episode waits at its end.
    std::vector<Panel> panels;
    std::vector<std::vector<size_t>> changes;  // Shots, of each frame.
    std::vector<Panel> last(shots_.size());
    for (const size_t moment : chosen) {
      auto& changed = changes.emplace_back();
      for (size_t s = 0; s < shots_.size(); ++s) {
        const Panel panel = {.shot = s,
                             .moment = std::min(moment, shots_[s].episode.moments.size() - 1)};
        if (changes.size() > 1 && panel == last[s]) continue;
        panels.push_back(last[s] = panel);
        changed.push_back(s);
      }
    }

    const int width = static_cast<int>(shots_.size()) * size_.width;
    MENTOR_ASSIGN_OR_RETURN(const auto file,
                            FilmFile::Create(settings_.out, width, panel_height_,
                                             shown / static_cast<double>(every), settings_.ffmpeg));
    PanelDrawers drawers = Draw(std::move(panels));
    Picture frame(width, panel_height_);
    for (size_t i = 0; i < chosen.size(); ++i) {
      for (const size_t s : changes[i]) {
        MENTOR_ASSIGN_OR_RETURN(const Picture panel, drawers.Next());
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
  const int panel_height_;
  const std::span<const Shot> shots_;
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
  for (const Shot& shot : shots) MENTOR_RETURN_IF_ERROR(SceneOf(*shot.environment).status());
  return Filming(settings, format, shots, progress).Run();
}

}  // namespace mentor::envs
