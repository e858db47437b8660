// `mentor env render`: episodes become a picture (.png: a sheet of moments) or a film (.gif, .mp4),
// side by side where there are several. Equal episodes and settings give equal frames, whatever the
// number of threads.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include <absl/status/status.h>

#include "envs/environment.h"
#include "envs/render/episode.h"
#include "envs/render/gl_context.h"

namespace mentor::envs {

struct FilmSettings {
  std::filesystem::path out;
  // Size of one episode's scene, in pixels; 0: what suits the format. Captions come below it.
  int width = 0, height = 0;
  std::string camera;  // Empty: the scene's default.
  double fps = 0;      // Frames a second at most; 0: 30 for .mp4, 20 for .gif.
  double speed = 1;    // 1: real time.
  int frames = 12;     // Moments of each episode in a picture.
  int threads = 0;     // 0: one for each core.
  std::string ffmpeg = "ffmpeg";
  std::string gl_library = kGlLibrary;
};

struct Shot {
  std::unique_ptr<Environment> environment;  // That played the episode.
  std::string title;
  Episode episode;
};

// Says before anything is simulated what is wrong: the file's name and folder, an environment
// without a scene, the camera, a program or a library that is not there.
absl::Status CheckFilm(const FilmSettings& settings, Environment& environment);

// Writes the film of at least one shot, all of one scene. On an error, and when progress stops it,
// nothing is left.
absl::Status MakeFilm(const FilmSettings& settings, std::span<const Shot> shots,
                      const Progress& progress);

}  // namespace mentor::envs
