#include "mentor/templates/own_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/bundle.h"
#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/file.h"
#include "common/rng.h"
#include "common/temporary_folder.h"
#include "envs/environment.h"
#include "envs/mjcf/model_parts.h"
#include "envs/render/episode.h"
#include "mentor/templates/embedded.h"

namespace mentor::templates {
namespace {

constexpr char kTaskFile[] = "task.txtpb";
constexpr double kStepSeconds = 0.05;  // About one step of the agent.
constexpr int kEpisodeSteps = 20;      // One second.
constexpr int kRollouts = 100;
// A random episode comes as near as `success` asks in this share of all pairs of episode and mark.
constexpr double kRandomSuccess = 0.1;
constexpr double kStillMetres = 1e-4;  // A part that moves less than this does not move.
// Scores of sites, above any depth of a body.
constexpr int kAnySite = 100000, kTellingSite = 200000;
constexpr size_t kNamesMax = 12;  // Names in one comment.

using envs::mjcf::ModelParts;
using Point = std::array<double, 3>;

absl::Status Bad(const std::string& flag, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", what));
}

// True if the name can be written into task.txtpb as it is.
bool IsPlain(const std::string& name) {
  return !name.empty() && name.size() <= 100 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isprint(c) && c != '"' && c != '\\';
         });
}

// The files of the model: itself, or with its folder where it refers to other files.
absl::StatusOr<Files> ReadFiles(const std::filesystem::path& model) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(model, error))
    return Bad("--model", absl::StrCat(model.string(), " is no file; give a model in MJCF"));
  if (!IsPlain(model.filename().string()))
    return Bad("--model", "the file's name has special characters; rename it");
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(model, kBundleBytesMax));
  Files files = {{model.filename().string(), text}};
  if (!absl::StrContains(text, "file=") && !absl::StrContains(text, "file =")) return files;
  const std::filesystem::path folder = std::filesystem::absolute(model, error).parent_path();
  const auto manifest = ReadBundle(folder);
  if (!manifest.ok()) {
    return Bad("--model",
               absl::StrCat("refers to other files, so its folder is taken with it, which cannot "
                            "be: ",
                            std::string(manifest.status().message()),
                            "; put the model and its files into a folder of their own"));
  }
  for (const BundleFile& file : manifest->files) {
    if (file.path == kTaskFile) continue;
    MENTOR_ASSIGN_OR_RETURN(files[file.path], ReadFile(folder / file.path, kBundleBytesMax));
  }
  return files;
}

absl::Status WriteFiles(const std::filesystem::path& folder, const Files& files) {
  for (const auto& [name, text] : files) {
    MENTOR_RETURN_IF_ERROR(MakeFolders((folder / name).parent_path()));
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(folder / name, text));
  }
  return absl::OkStatus();
}

struct Part {
  std::string kind, name;  // "site" or "body"
};

// What looks like the robot's end. It is a site with a telling name, else a site, else a body; the
// one farthest from the world, the last one among equals.
absl::StatusOr<Part> EndOf(const ModelParts& model, const std::string& site) {
  if (!site.empty()) {
    for (const auto& [kind, places] : {std::pair("site", &model.sites), {"body", &model.bodies}}) {
      for (const ModelParts::Place& place : *places) {
        if (place.name == site && IsPlain(site)) return Part{kind, site};
      }
    }
    return Bad("--site", absl::StrCat("the model has no site or body '", site,
                                      "'; give the name of one, or leave it out"));
  }
  constexpr std::array kTelling = {"tip", "tool", "tcp", "eef", "end", "grip", "hand", "finger"};
  Part best;
  int best_score = 0;
  const auto consider = [&](const char* kind, const std::string& name, int score) {
    if (!IsPlain(name) || score < best_score) return;
    best = {kind, name};
    best_score = score;
  };
  for (const ModelParts::Place& body : model.bodies) consider("body", body.name, body.depth);
  for (const ModelParts::Place& place : model.sites) {
    if (place.depth == 0) continue;  // It does not move.
    const std::string lower = absl::AsciiStrToLower(place.name);
    const bool tells = std::any_of(kTelling.begin(), kTelling.end(), [&](const char* word) {
      return absl::StrContains(lower, word);
    });
    consider("site", place.name, (tells ? kTellingSite : kAnySite) + place.depth);
  }
  if (best_score > 0) return best;
  return Bad("--model", "no body or site of it has a name; name what is to reach a place");
}

// A word that names no part of the model yet.
std::string FreeWord(const ModelParts& model, const std::string& word) {
  std::string free = word;
  for (int i = 2; model.names.contains(free); ++i) free = absl::StrCat(word, "_", i);
  return free;
}

std::string ActuatorLines(const ModelParts& model) {
  std::string lines;
  for (size_t i = 0; i < model.actuators.size(); ++i) {
    const auto& [name, is_limited] = model.actuators[i];
    absl::StrAppend(
        &lines, "  actuator { ",
        IsPlain(name) ? absl::StrFormat("name: \"%s\"", name) : absl::StrFormat("index: %d", i),
        is_limited ? "" : " gain: 1", " }\n");
  }
  return lines;
}

// Noise on the hinges and slides that have a name.
std::string ResetLines(const ModelParts& model) {
  std::string lines;
  for (const auto& [name, is_scalar] : model.joints) {
    if (IsPlain(name) && is_scalar)
      absl::StrAppendFormat(&lines, "  noise { qpos: \"%s\" low: -0.02 high: 0.02 }\n", name);
  }
  return lines.empty() ? lines : absl::StrCat("\nreset {\n", lines, "}\n");
}

// A comment with the sites that could be named instead.
std::string OtherSites(const ModelParts& model, const std::string& chosen) {
  std::vector<std::string> names;
  for (const ModelParts::Place& place : model.sites) {
    if (IsPlain(place.name) && place.name != chosen && names.size() < kNamesMax)
      names.push_back(place.name);
  }
  if (names.empty()) return "";
  return absl::StrCat(" Other sites of the model:\n#   ", absl::StrJoin(names, "\n#   "));
}

// Places of the part along random episodes, the reset included: [kRollouts][steps + 1].
absl::StatusOr<std::vector<std::vector<Point>>> Explore(const std::filesystem::path& bundle,
                                                        const Places& places) {
  const std::string task = Fill(
      "model: \"{{model}}\" frame_skip: {{frame_skip}} episode_steps: {{episode_steps}}\n"
      "quantity { name: \"{{tip}}\" {{tip_kind}}: \"{{tip_part}}\" }\n"
      "observation { expression: \"{{tip}}\" }\naction {\n{{actuators}}}\n{{reset}}"
      "reward { name: \"none\" expression: \"0\" }\n",
      places);
  MENTOR_RETURN_IF_ERROR(WriteFileAtomically(bundle / kTaskFile, task));
  MENTOR_ASSIGN_OR_RETURN(const BundleManifest manifest, OfferFolder(bundle));
  v1::EnvironmentTask tried;
  tried.set_environment("mjcf");
  v1::Option* option = tried.add_options();
  option->set_name("bundle");
  option->set_value(BundleName(manifest.digest));
  MENTOR_ASSIGN_OR_RETURN(const auto environment, envs::MakeEnvironment(tried));
  const envs::Act random = envs::RandomPolicy(environment->info(), /*seed=*/1);
  std::vector<double> observation(3);
  std::vector<float> action(environment->info().action_size);
  const auto here = [&] { return Point{observation[0], observation[1], observation[2]}; };
  std::vector<std::vector<Point>> paths;
  for (int i = 0; i < kRollouts; ++i) {
    const RandomStream reset{.seed = 1, .purpose = Purpose::kEnvironmentReset};
    MENTOR_RETURN_IF_ERROR(environment->Reset(reset, i, observation));
    std::vector<Point>& path = paths.emplace_back();
    path.push_back(here());
    for (int step = 0; step < kEpisodeSteps; ++step) {
      MENTOR_RETURN_IF_ERROR(random(observation, action));
      MENTOR_ASSIGN_OR_RETURN(const envs::StepOutcome outcome,
                              environment->Step(action, observation));
      path.push_back(here());
      if (outcome.terminated || outcome.truncated) break;
    }
  }
  return paths;
}

double DistanceOf(const Point& a, const Point& b) {
  return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

// Sets the marks' box, its size, and the radius of success.
absl::Status AddMarks(const std::vector<std::vector<Point>>& paths, const std::string& part,
                      Places* places) {
  Point low{1e30, 1e30, 1e30}, high{-1e30, -1e30, -1e30};
  for (const auto& path : paths) {
    for (int axis = 0; axis < 3; ++axis) {
      low[axis] = std::min(low[axis], path.back()[axis]);
      high[axis] = std::max(high[axis], path.back()[axis]);
    }
  }
  const double reach = DistanceOf(low, high) / 2;
  if (reach < kStillMetres) {
    return Bad("--site", absl::StrFormat("random actions do not move '%s'; name a site or body "
                                         "that actuators move",
                                         part));
  }
  const RandomStream stream{.seed = 1, .purpose = Purpose::kTasks};
  std::vector<double> nearest;
  for (int i = 0; i < kRollouts; ++i) {
    Point mark;
    for (int axis = 0; axis < 3; ++axis)
      mark[axis] = low[axis] + stream.Uniform(i, axis) * (high[axis] - low[axis]);
    for (const auto& path : paths) {
      double least = 1e30;
      for (size_t step = 1; step < path.size(); ++step)
        least = std::min(least, DistanceOf(path[step], mark));
      nearest.push_back(least);
    }
  }
  const auto place = nearest.begin() + static_cast<int64_t>(kRandomSuccess * nearest.size());
  std::nth_element(nearest.begin(), place, nearest.end());
  const auto text = [](const Point& p) {
    return absl::StrFormat("%.4g, %.4g, %.4g", p[0], p[1], p[2]);
  };
  (*places)["low"] = text(low);
  (*places)["high"] = text(high);
  (*places)["reach"] = absl::StrFormat("%.3g", reach);
  (*places)["radius"] = absl::StrFormat("%.3g", *place);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<OwnModel> ReadOwnModel(const std::filesystem::path& model, const std::string& site) {
  OwnModel own;
  MENTOR_ASSIGN_OR_RETURN(own.files, ReadFiles(model));
  MENTOR_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Create("mentor-new"));
  MENTOR_RETURN_IF_ERROR(WriteFiles(folder.path(), own.files));
  MENTOR_ASSIGN_OR_RETURN(const BundleManifest manifest, OfferFolder(folder.path()));
  MENTOR_ASSIGN_OR_RETURN(const auto held, FindBundle(BundleName(manifest.digest)));
  const std::string file = model.filename().string();
  const auto parts = envs::mjcf::ReadModelParts(*held, file);
  if (absl::IsInvalidArgument(parts.status()))
    return Bad("--model", std::string(parts.status().message()));
  MENTOR_RETURN_IF_ERROR(parts.status());
  const ModelParts& m = *parts;
  if (m.actuators.empty()) {
    return Bad("--model",
               "it has no actuators, so nothing can act; add some (<actuator> of MJCF), or write a "
               "task with a mocap body as docs/own_tasks.md says");
  }
  MENTOR_ASSIGN_OR_RETURN(const Part part, EndOf(m, site));
  own.episode_steps = kEpisodeSteps;
  own.places = {
      {"model", file},
      {"frame_skip",
       absl::StrCat(std::clamp(static_cast<int>(std::lround(kStepSeconds / m.timestep)), 1, 1000))},
      {"timestep", absl::StrFormat("%.4g", m.timestep)},
      {"episode_steps", absl::StrCat(kEpisodeSteps)},
      {"rollouts", absl::StrCat(kRollouts)},
      {"tip_kind", part.kind},
      {"tip_part", part.name},
      {"tip", FreeWord(m, "tip")},
      {"mark", FreeWord(m, "mark")},
      {"distance", FreeWord(m, "distance")},
      {"others", OtherSites(m, part.name)},
      {"actuators", ActuatorLines(m)},
      {"reset", ResetLines(m)}};
  const auto paths = Explore(folder.path(), own.places);
  if (absl::IsInvalidArgument(paths.status()))
    return Bad("--model", std::string(paths.status().message()));
  MENTOR_RETURN_IF_ERROR(paths.status());
  MENTOR_RETURN_IF_ERROR(AddMarks(*paths, part.name, &own.places));
  return own;
}

}  // namespace mentor::templates
