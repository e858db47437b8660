#include "envs/render/film.h"

#include <filesystem>
#include <set>

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/child_process.h"
#include "common/file.h"
#include "envs/camera.h"
#include "envs/mujoco_environment.h"
#include "envs/render/film_file.h"
#include "envs/render/scene_renderer.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::Contains;

constexpr int kWidth = 96, kHeight = 64;
// With the caption.
constexpr int kPanelHeight = kHeight + SceneRenderer::kCaptionHeight;

bool GoOn(int, int) {
  return true;
}

// An episode by the scripted or the random policy.
Shot Play(const std::string& name, const std::string& policy, int steps) {
  const EnvironmentEntry& entry = *FindEnvironment(name);
  Violations none;
  const auto options = OptionValues::Parse(entry.options, {}, "", &none);
  Shot shot{.environment = MakeEnvironment(DrawTask(entry, options, {.seed = 7}, 0)).value(),
            .title = name,
            .episode = {}};
  const Act act = policy == "scripted" ? ScriptedPolicy(*shot.environment)
                                       : RandomPolicy(shot.environment->info(), /*seed=*/3);
  shot.episode = PlayEpisode(*shot.environment, {.seed = 7, .purpose = Purpose::kEnvironmentReset},
                             /*number=*/0, act, steps, GoOn)
                     .value();
  return shot;
}

FilmSettings Settings(const std::filesystem::path& out) {
  FilmSettings settings;
  settings.out = out;
  settings.width = kWidth;
  settings.height = kHeight;
  return settings;
}

// The frames of a file of this size, as a player shows them.
std::vector<Picture> Frames(const std::filesystem::path& file, int width, int height) {
  const std::filesystem::path raw = file.string() + ".raw";
  const int output = open(raw.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const auto child = ChildProcess::Start(
      {.command = {"ffmpeg", "-loglevel", "quiet", "-i", file.string(), "-fps_mode", "passthrough",
                   "-f", "rawvideo", "-pix_fmt", "rgb24", "-"},
       .output = output});
  close(output);
  REQUIRE(child.ok());
  CHECK((*child)->Wait().value() == 0);
  const std::string bytes = ReadFile(raw, uint64_t{1} << 30).value();
  std::filesystem::remove(raw);
  const size_t frame_bytes = size_t{3} * width * height;
  REQUIRE(bytes.size() % frame_bytes == 0);
  std::vector<Picture> frames(bytes.size() / frame_bytes, Picture(width, height));
  for (size_t i = 0; i < frames.size(); ++i)
    std::copy_n(bytes.data() + i * frame_bytes, frame_bytes, frames[i].rgb.data());
  return frames;
}

size_t Colours(const Picture& picture, int x0, int y0, int width, int height) {
  std::set<std::array<uint8_t, 3>> colours;
  for (int y = y0; y < y0 + height; ++y) {
    for (int x = x0; x < x0 + width; ++x) {
      const uint8_t* pixel = picture.Row(y) + 3 * x;
      colours.insert({pixel[0], pixel[1], pixel[2]});
    }
  }
  return colours.size();
}

size_t FilesIn(const std::filesystem::path& folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

TEST_CASE("film: a .png is a sheet of moments, the same bytes each time", "[unit]") {
  const testing::TempFolder folder;
  FilmSettings settings = Settings(folder.path() / "reach.png");
  settings.frames = 5;  // Four and one.
  const Shot shots[] = {Play("reach-v3", "scripted", 60)};
  REQUIRE(CheckFilm(settings, *shots[0].environment).ok());
  REQUIRE(MakeFilm(settings, shots, GoOn).ok());
  const std::vector<Picture> sheet = Frames(settings.out, 4 * kWidth, 2 * kPanelHeight);
  REQUIRE(sheet.size() == 1);
  Picture first(kWidth, kHeight), last = first;
  for (int y = 0; y < kHeight; ++y) {
    std::copy_n(sheet[0].Row(y), 3 * kWidth, first.Row(y));
    std::copy_n(sheet[0].Row(y + kPanelHeight), 3 * kWidth, last.Row(y));
  }
  CHECK(Colours(first, 0, 0, kWidth, kHeight) > 500);
  CHECK(Colours(last, 0, 0, kWidth, kHeight) > 500);
  CHECK(first.rgb != last.rgb);
  // Three places are left free.
  CHECK(Colours(sheet[0], kWidth, kPanelHeight, 3 * kWidth, kPanelHeight) == 1);

  const std::string bytes = ReadFile(settings.out, 1 << 20).value();
  settings.out = folder.path() / "again.png";
  const Shot again[] = {Play("reach-v3", "scripted", 60)};
  REQUIRE(MakeFilm(settings, again, GoOn).ok());
  CHECK(ReadFile(settings.out, 1 << 20).value() == bytes);
}

TEST_CASE("film: a .gif moves, shows every k-th step and the last, two episodes side by side",
          "[unit]") {
  const testing::TempFolder folder;
  FilmSettings settings = Settings(folder.path() / "pendulum.gif");
  settings.fps = 10;  // Steps of 0.04 s: every third fits.
  const Shot shots[] = {Play("InvertedPendulum-v5", "random", 4),
                        Play("InvertedPendulum-v5", "random", 7)};
  REQUIRE(MakeFilm(settings, shots, GoOn).ok());
  const std::vector<Picture> frames = Frames(settings.out, 2 * kWidth, kPanelHeight);
  const size_t longest = std::max(shots[0].episode.moments.size(), shots[1].episode.moments.size());
  REQUIRE(longest == 8);
  CHECK(frames.size() == 4);  // Steps 0, 3, 6, 7.
  CHECK(Colours(frames[0], 0, 0, kWidth, kHeight) > 20);
  CHECK(frames[0].rgb != frames[2].rgb);
  // The shorter one waits at its end.
  const auto left = [&](size_t i) {
    Picture half(kWidth, kHeight);
    for (int y = 0; y < kHeight; ++y) std::copy_n(frames[i].Row(y), 3 * kWidth, half.Row(y));
    return half.rgb;
  };
  CHECK(left(0) != left(2));
  CHECK(left(2) == left(3));
}

TEST_CASE("film: a caption stands below its picture and covers none of it", "[unit]") {
  const testing::TempFolder folder;
  FilmSettings settings = Settings(folder.path() / "a.png");
  settings.frames = 1;
  Shot shots[] = {Play("reach-v3", "scripted", 3)};
  const auto draw = [&](const std::string& title) {
    shots[0].title = title;
    REQUIRE(MakeFilm(settings, shots, GoOn).ok());
    return Frames(settings.out, kWidth, kPanelHeight)[0];
  };
  const Picture short_title = draw("a"), long_title = draw(std::string(200, 'W'));
  for (int y = 0; y < kHeight; ++y)
    CHECK(std::equal(short_title.Row(y), short_title.Row(y) + 3 * kWidth, long_title.Row(y)));
  const auto line_height = SceneRenderer::kCaptionHeight / 3;
  // One dark colour and the letters on it; the title alone differs.
  CHECK(Colours(short_title, 0, kHeight, kWidth, SceneRenderer::kCaptionHeight) < 10);
  CHECK(Colours(short_title, 0, kHeight, kWidth, line_height) > 1);
  for (int y = kHeight + line_height; y < kPanelHeight; ++y)
    CHECK(std::equal(short_title.Row(y), short_title.Row(y) + 3 * kWidth, long_title.Row(y)));
  CHECK(short_title.rgb != long_title.rgb);
}

TEST_CASE("film: captions of usual length are whole in a .gif of the default size",
          "[unit][nightly]") {
  const testing::TempFolder folder;
  FilmSettings settings = Settings(folder.path() / "a.png");
  constexpr int kUsual = 320;
  settings.width = kUsual;
  settings.frames = 1;
  Shot shots[] = {Play("reach-v3", "scripted", 3)};
  // A success before, with long numbers.
  std::vector<Moment>& moments = shots[0].episode.moments;
  moments.resize(3);
  for (Moment& moment : moments) moment.reward = -0.1234;
  moments[1].success = true;
  moments[2].success = false;
  const auto strip = [&](const std::string& title, double reward) {
    shots[0].title = title;
    moments[0].reward = reward;
    REQUIRE(MakeFilm(settings, shots, GoOn).ok());
    return Frames(settings.out, kUsual, kPanelHeight)[0].rgb;
  };
  const std::string usual = "learned (best), outer update 1500, episode 30 of 30";
  // The last letters can be told apart: they are there.
  CHECK(strip(usual, -123400) != strip(usual, -123500));
  CHECK(strip(usual + "0", 0) != strip(usual + "1", 0));
  const std::string long_one = "PPO sparse and shaped, after the lifetime, deterministic";
  CHECK(strip(long_one + "0", 0) != strip(long_one + "1", 0));
  // The green mark of the strip is as wide as its words.
  const std::vector<uint8_t> rgb = strip(usual, 0);
  int left = kUsual, right = 0;
  for (int y = kHeight; y < kPanelHeight; ++y) {
    for (int x = 0; x < kUsual; ++x) {
      const uint8_t* pixel = rgb.data() + 3 * (static_cast<size_t>(y) * kUsual + x);
      if (pixel[1] < 150 || pixel[0] > 150) continue;
      left = std::min(left, x);
      right = std::max(right, x);
    }
  }
  CHECK(right - left > 90);  // "success before"; "success" alone is 56 wide.
  CHECK(right < kUsual - 2);
}

TEST_CASE("film: any number of threads draws the same film", "[unit][nightly]") {
  const testing::TempFolder folder;
  const Shot shots[] = {Play("reach-v3", "scripted", 9), Play("reach-v3", "random", 5)};
  std::vector<std::string> films;
  for (const int threads : {1, 2, 7}) {
    FilmSettings settings = Settings(folder.path() / "a.mp4");
    settings.threads = threads;
    int frames = 0;
    REQUIRE(MakeFilm(settings, shots, [&](int done, int total) {
              CHECK(done == ++frames);
              CHECK(total == 4);  // Steps 0, 3, 6, 9.
              return true;
            }).ok());
    films.push_back(ReadFile(settings.out, 1 << 20).value());
  }
  CHECK(films[1] == films[0]);
  CHECK(films[2] == films[0]);
}

TEST_CASE("film: an .mp4 of odd sizes is padded; cameras differ", "[unit]") {
  const testing::TempFolder folder;
  FilmSettings settings = Settings(folder.path() / "a.mp4");
  settings.width = 97;
  const Shot shots[] = {Play("push-v3", "scripted", 6)};
  REQUIRE(MakeFilm(settings, shots, GoOn).ok());
  const std::vector<Picture> frames = Frames(settings.out, 98, kPanelHeight);
  CHECK(frames.size() == 3);  // 80 steps a second, 30 frames at most: steps 0, 3, 6.
  settings.out = folder.path() / "b.mp4";
  settings.camera = "corner3";
  REQUIRE(MakeFilm(settings, shots, GoOn).ok());
  CHECK(Frames(settings.out, 98, kPanelHeight)[0].rgb != frames[0].rgb);
}

TEST_CASE("film: what is missing or wrong is said first, and nothing is left behind", "[unit]") {
  const testing::TempFolder folder;
  const Shot shots[] = {Play("InvertedPendulum-v5", "random", 2)};
  const auto complaint = [&](auto&& change, Environment* environment = nullptr) {
    FilmSettings settings = Settings(folder.path() / "a.gif");
    change(settings);
    const absl::Status status =
        CheckFilm(settings, environment != nullptr ? *environment : *shots[0].environment);
    CHECK_FALSE(status.ok());
    return std::string(status.message());
  };
  CHECK(Contains(complaint([](auto& s) { s.out = "a.avi"; }), "must end with .png"));
  CHECK(Contains(complaint([](auto& s) { s.out = "a"; }), "must end with .png"));
  CHECK(Contains(complaint([&](auto& s) { s.out = folder.path() / "none" / "a.png"; }),
                 "there is no folder"));
  CHECK(Contains(complaint([](auto& s) { s.camera = "behind"; }),
                 "unknown camera 'behind'; the cameras of this scene are "));
  CHECK(Contains(complaint([](auto& s) { s.width = 5000; }), "each side must be from 64 to 4096"));
  CHECK(Contains(complaint([](auto& s) { s.fps = 60; }), "a GIF shows at most 50"));
  CHECK(Contains(complaint([](auto& s) { s.gl_library = "libnone.so"; }),
                 "apt-get install libosmesa6"));
  CHECK(
      Contains(complaint([](auto& s) { s.gl_library = "libm.so.6"; }), "is not an OSMesa library"));
  CHECK(
      Contains(complaint([](auto& s) { s.ffmpeg = "no-such-program"; }), "apt-get install ffmpeg"));
  CHECK(Contains(complaint([](auto& s) { s.ffmpeg = "false"; }), "install ffmpeg again"));
  const auto point = MakeEnvironment("point_reach", {}).value();
  CHECK(Contains(complaint([](auto&) {}, point.get()), "point_reach has no scene"));

  // An encoder that ends at once, and a user who stops the film.
  FilmSettings settings = Settings(folder.path() / "a.gif");
  settings.ffmpeg = "true";
  CHECK_FALSE(MakeFilm(settings, shots, GoOn).ok());
  settings.ffmpeg = "ffmpeg";
  CHECK(absl::IsCancelled(MakeFilm(settings, shots, [](int, int) { return false; })));
  CHECK(FilesIn(folder.path()) == 0);
}

TEST_CASE("film: a folder that cannot be written in gives ffmpeg's own words", "[unit]") {
  const testing::TempFolder folder;
  const auto file = FilmFile::Create("/proc/a.mp4", kWidth, kHeight, 10, "ffmpeg");
  REQUIRE(file.ok());
  absl::Status status = absl::OkStatus();
  for (int i = 0; status.ok() && i < 1000; ++i) status = (*file)->Add(Picture(kWidth, kHeight));
  if (status.ok()) status = (*file)->Finish();
  CHECK(Contains(std::string(status.message()), "ffmpeg could not write /proc/a.mp4: "));
}

TEST_CASE("episode: scripted succeeds, random repeats, a missing script is named", "[unit]") {
  const Shot reach = Play("reach-v3", "scripted", 0);
  CHECK(reach.episode.success);
  CHECK(reach.episode.complete);
  CHECK(reach.episode.moments.size() == 501);
  CHECK(reach.episode.moments[1].seconds - reach.episode.moments[0].seconds ==
        Approx(0.0125).margin(1e-12));

  const Shot hopper = Play("Hopper-v5", "random", 0), again = Play("Hopper-v5", "random", 0);
  REQUIRE(hopper.episode.moments.size() == again.episode.moments.size());
  CHECK(hopper.episode.moments.back().simulator == again.episode.moments.back().simulator);
  CHECK(hopper.episode.complete);
  std::vector<double> observation(hopper.environment->info().observation_size);
  std::vector<float> action(hopper.environment->info().action_size);
  const absl::Status status = ScriptedPolicy(*hopper.environment)(observation, action);
  CHECK(Contains(std::string(status.message()),
                 "Hopper-v5 has no scripted policy; use --policy random"));
}

TEST_CASE("camera: the default comes first, the model's follow", "[unit]") {
  const auto names = [](const std::string& environment) {
    const Shot shot = Play(environment, "random", 1);
    auto& simulated = dynamic_cast<MuJoCoEnvironment&>(shot.environment->unwrapped());
    return CameraNames(*simulated.simulation().model());
  };
  CHECK(names("push-v3") == std::vector<std::string>{"table", "topview", "corner", "corner2",
                                                     "corner3", "corner4", "behindGripper",
                                                     "gripperPOV", "free"});
  CHECK(names("Hopper-v5") == std::vector<std::string>{"track", "free"});
  CHECK(names("InvertedPendulum-v5") == std::vector<std::string>{"free"});
}

}  // namespace mentor::envs::TEST_FILE
