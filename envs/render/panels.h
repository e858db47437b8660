// Draws the pictures of a film or a sheet, each once, with one renderer a thread, and hands them
// out in order. The same pictures for any number of threads. Used by one thread.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <thread>
#include <vector>

#include <absl/status/statusor.h>

#include "common/mutex.h"
#include "envs/render/film.h"
#include "envs/render/picture.h"
#include "envs/render/scene_renderer.h"

namespace mentor::envs {

// A moment of a shot.
struct Panel {
  size_t shot = 0, moment = 0;
  bool operator==(const Panel&) const = default;
};

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

}  // namespace mentor::envs
