#include "envs/render/panels.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "envs/mujoco_environment.h"

namespace mentor::envs {
namespace {

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

}  // namespace

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

}  // namespace mentor::envs
