// A picture or a film on its way into a file, which is there whole or not at all. ffmpeg, a child
// process, encodes. One thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/child_process.h"
#include "envs/render/picture.h"

namespace mentor::envs {

enum class FilmFormat { kPng, kGif, kMp4 };

// The name's ending decides: .png, .gif or .mp4. INVALID_ARGUMENT for another one; NOT_FOUND when
// the folder does not exist.
absl::StatusOr<FilmFormat> FilmFormatOf(const std::filesystem::path& path);

// FAILED_PRECONDITION, with the remedy, when there is no such program.
absl::Status CheckEncoder(const std::string& ffmpeg);

class FilmFile {
 public:
  // A picture is a film of one frame; its fps has no effect.
  static absl::StatusOr<std::unique_ptr<FilmFile>> Create(const std::filesystem::path& path,
                                                          int width, int height, double fps,
                                                          const std::string& ffmpeg);
  // Without Finish no file is left.
  ~FilmFile();

  // All frames have the size of the film.
  absl::Status Add(const Picture& frame);
  // Gives the file its name. Nothing may follow.
  absl::Status Finish();

 private:
  FilmFile(const std::filesystem::path& path, const std::filesystem::path& temporary)
      : path_(path), temporary_(temporary) {}
  absl::Status Failed();

  const std::filesystem::path path_, temporary_;
  std::unique_ptr<ChildProcess> encoder_;
  int frames_ = -1;    // Socket to the encoder's input; negative: closed.
  int messages_ = -1;  // File in memory with what the encoder said.
};

}  // namespace mentor::envs
