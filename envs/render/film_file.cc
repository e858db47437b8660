#include "envs/render/film_file.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/check.h"
#include "common/file.h"

namespace mentor::envs {
namespace {

constexpr size_t kMessageBytesShown = 500;

// The settings of ffmpeg. The result does not depend on the machine: one thread, no names of
// versions in the file.
std::vector<std::string> EncoderArguments(FilmFormat format) {
  switch (format) {
    case FilmFormat::kPng:
      return {"-frames:v", "1", "-c:v", "png", "-update", "1", "-f", "image2"};
    case FilmFormat::kGif:
      // One palette made from all frames, and no dithering, which would flicker.
      return {"-filter_complex",
              "split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=none",
              "-c:v",
              "gif",
              "-loop",
              "0",
              "-f",
              "gif"};
    case FilmFormat::kMp4:
      // Two pixels share their colours, as every player expects.
      return {"-vf",       "pad=ceil(iw/2)*2:ceil(ih/2)*2",
              "-c:v",      "libx264",
              "-pix_fmt",  "yuv420p",
              "-crf",      "20",
              "-movflags", "+faststart",
              "-f",        "mp4"};
  }
  return {};
}

absl::Status NoEncoder(const std::string& ffmpeg) {
  return absl::FailedPreconditionError(
      absl::StrCat("cannot run '", ffmpeg,
                   "' to write films and pictures: not found; install it (apt-get "
                   "install ffmpeg)"));
}

}  // namespace

absl::StatusOr<FilmFormat> FilmFormatOf(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat("cannot write ", path.string(), ": there is no folder ",
                                            folder.string(), "; make it first"));
  }
  if (ending == ".png") return FilmFormat::kPng;
  if (ending == ".gif") return FilmFormat::kGif;
  if (ending == ".mp4") return FilmFormat::kMp4;
  return absl::InvalidArgumentError(absl::StrCat(
      "cannot write ", path.string(),
      ": its name must end with .png (pictures of the episode), .gif or .mp4 (films)"));
}

absl::Status CheckEncoder(const std::string& ffmpeg) {
  const auto child = ChildProcess::Start({.command = {ffmpeg, "-version"}});
  if (absl::IsNotFound(child.status())) return NoEncoder(ffmpeg);
  MENTOR_RETURN_IF_ERROR(child.status());
  MENTOR_ASSIGN_OR_RETURN(const int code, (*child)->Wait());
  if (code == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "'%s -version' ends with %d; install ffmpeg again (apt-get install ffmpeg)", ffmpeg, code));
}

absl::StatusOr<std::unique_ptr<FilmFile>> FilmFile::Create(const std::filesystem::path& path,
                                                           int width, int height, double fps,
                                                           const std::string& ffmpeg) {
  MENTOR_ASSIGN_OR_RETURN(const FilmFormat format, FilmFormatOf(path));
  // An absolute path is never taken for an option or a protocol.
  const std::filesystem::path target = std::filesystem::absolute(path);
  const std::filesystem::path temporary =
      target.parent_path() / absl::StrFormat(".%s.%d.tmp", path.filename().string(), getpid());
  std::unique_ptr<FilmFile> made(new FilmFile(target, temporary));
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return FileError("making a socket for", path, errno);
  made->frames_ = ends[0];
  made->messages_ = memfd_create("ffmpeg messages", MFD_CLOEXEC);
  std::vector<std::string> command = {ffmpeg,
                                      "-hide_banner",
                                      "-loglevel",
                                      "error",
                                      "-nostdin",
                                      "-y",
                                      "-filter_threads",
                                      "1",
                                      "-f",
                                      "rawvideo",
                                      "-pix_fmt",
                                      "rgb24",
                                      "-s",
                                      absl::StrFormat("%dx%d", width, height),
                                      "-r",
                                      absl::StrFormat("%.6f", fps),
                                      "-i",
                                      "pipe:0"};
  for (std::string& argument : EncoderArguments(format)) command.push_back(std::move(argument));
  for (const char* argument : {"-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact"})
    command.emplace_back(argument);
  command.push_back(temporary.string());
  auto child = ChildProcess::Start(
      {.command = std::move(command), .input = ends[1], .output = made->messages_});
  close(ends[1]);
  if (absl::IsNotFound(child.status())) return NoEncoder(ffmpeg);
  MENTOR_RETURN_IF_ERROR(child.status());
  made->encoder_ = *std::move(child);
  return made;
}

FilmFile::~FilmFile() {
  if (frames_ >= 0) close(frames_);
  encoder_.reset();
  if (messages_ >= 0) close(messages_);
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

absl::Status FilmFile::Failed() {
  std::string text(kMessageBytesShown, '\0');
  const ssize_t bytes = pread(messages_, text.data(), text.size(), 0);
  text.resize(static_cast<size_t>(std::max<ssize_t>(bytes, 0)));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return absl::UnavailableError(absl::StrCat("ffmpeg could not write ", path_.string(), ": ",
                                             text.empty() ? "it was ended" : text));
}

absl::Status FilmFile::Add(const Picture& frame) {
  const uint8_t* next = frame.rgb.data();
  const uint8_t* const end = next + frame.rgb.size();
  while (next < end) {
    // A socket, since an encoder that ends early must not end this process by SIGPIPE.
    const ssize_t sent = send(frames_, next, static_cast<size_t>(end - next), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      close(std::exchange(frames_, -1));
      std::exchange(encoder_, nullptr)->Wait().IgnoreError();
      return Failed();
    }
    next += sent;
  }
  return absl::OkStatus();
}

absl::Status FilmFile::Finish() {
  close(std::exchange(frames_, -1));
  MENTOR_ASSIGN_OR_RETURN(const int code, encoder_->Wait());
  encoder_.reset();
  if (code != 0) return Failed();
  std::error_code error;
  std::filesystem::rename(temporary_, path_, error);
  if (error) return FileError("renaming to", path_, error.value());
  return absl::OkStatus();
}

}  // namespace mentor::envs
