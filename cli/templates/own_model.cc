#include "cli/templates/own_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "cli/templates/embedded.h"
#include "cli/templates/model_files.h"
#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/file.h"
#include "common/rng.h"
#include "common/temporary_folder.h"
#include "envs/environment.h"
#include "envs/mjcf/model_parts.h"
#include "envs/render/episode.h"

namespace mentor::templates {
namespace {

constexpr char kTaskFile[] = "task.txtpb";
constexpr double kStepSeconds = 0.05;  // About one step of the agent.
constexpr int kEpisodeSteps = 20;      // One second.
constexpr int kRollouts = 100;
// A random episode comes as near as `success` asks in this share of all pairs of episode and mark.
constexpr double kRandomSuccess = 0.1;
constexpr double kStill = 1e-4;  // A part that moves less than this does not move: metres, radians.
// Scores of kinds, farther apart than any depth.
constexpr int kJoint = 0, kGeom = 100000, kBody = 200000, kAnySite = 300000, kTellingSite = 400000;
constexpr size_t kTriedMax = 200;
constexpr size_t kNamesMax = 12;  // Names in one comment.

using envs::mjcf::ModelParts;
using Point = std::vector<double>;  // A place, or the position of a joint.
using Path = std::vector<Point>;    // Along an episode.

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

// What may reach a place.
struct Part {
  std::string kind, name;  // "site", "body", "geom" or "joint"
  int score = 0;
  int numbers() const { return kind == "joint" ? 1 : 3; }
};

// What looks like the robot's end, likeliest first: sites with a telling name, other sites, bodies,
// geoms, joints. Parts far from the world come first within a kind, the last one among equals.
std::vector<Part> Ends(const ModelParts& model) {
  constexpr std::array kTelling = {"tip", "tool", "tcp", "eef", "end", "grip", "hand", "finger"};
  std::vector<Part> ends;
  const auto consider = [&](const char* kind, const std::string& name, int score) {
    if (IsPlain(name)) ends.push_back({kind, name, score});
  };
  for (const ModelParts::Joint& joint : model.joints) {
    if (joint.is_scalar) consider("joint", joint.name, kJoint);
  }
  // What belongs to the world does not move.
  for (const auto& [kind, places, score] : {std::tuple("geom", &model.geoms, kGeom),
                                            {"body", &model.bodies, kBody},
                                            {"site", &model.sites, kAnySite}}) {
    for (const ModelParts::Place& place : *places) {
      if (place.depth == 0) continue;
      const std::string lower = absl::AsciiStrToLower(place.name);
      const bool tells =
          score == kAnySite && std::any_of(kTelling.begin(), kTelling.end(), [&](const char* word) {
            return absl::StrContains(lower, word);
          });
      consider(kind, place.name, (tells ? kTellingSite : score) + place.depth);
    }
  }
  std::reverse(ends.begin(), ends.end());
  std::stable_sort(ends.begin(), ends.end(),
                   [](const Part& a, const Part& b) { return a.score > b.score; });
  if (ends.size() > kTriedMax) ends.erase(ends.begin() + kTriedMax, ends.end());
  return ends;
}

// The parts to try, likeliest first.
absl::StatusOr<std::vector<Part>> PartsToTry(const ModelParts& model, const std::string& site) {
  if (site.empty()) {
    std::vector<Part> ends = Ends(model);
    if (!ends.empty()) return ends;
    return Bad("--model",
               "no site, body, geom, hinge or slide of it has a name; name what is to reach a "
               "place");
  }
  for (const auto& [kind, places] :
       {std::pair("site", &model.sites), {"body", &model.bodies}, {"geom", &model.geoms}}) {
    for (const ModelParts::Place& place : *places) {
      if (place.name == site && IsPlain(site)) return std::vector{Part{kind, site}};
    }
  }
  for (const ModelParts::Joint& joint : model.joints) {
    if (joint.name == site && joint.is_scalar && IsPlain(site))
      return std::vector{Part{"joint", site}};
  }
  return Bad("--site", absl::StrCat("the model has no site, body, geom, hinge or slide '", site,
                                    "'; give the name of one, or leave it out"));
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

// What the parts do along random episodes, the reset included: [parts][kRollouts][steps + 1].
absl::StatusOr<std::vector<std::vector<Path>>> Explore(const std::filesystem::path& bundle,
                                                       const std::vector<Part>& parts,
                                                       const ModelParts& model, Places places) {
  std::string seen;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string word = FreeWord(model, absl::StrCat("part_", i));
    absl::StrAppendFormat(&seen,
                          "quantity { name: \"%s\" %s: \"%s\" }\n"
                          "observation { expression: \"%s\" }\n",
                          word, parts[i].kind, parts[i].name, word);
  }
  places["seen"] = seen;
  const std::string task = Fill(
      "model: \"{{model}}\" frame_skip: {{frame_skip}} episode_steps: {{episode_steps}}\n"
      "{{seen}}action {\n{{actuators}}}\n{{reset}}"
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
  std::vector<double> observation(environment->info().observation_size);
  std::vector<float> action(environment->info().action_size);
  std::vector<std::vector<Path>> paths(parts.size(), std::vector<Path>(kRollouts));
  const auto remember = [&](int rollout) {
    auto number = observation.begin();
    for (size_t i = 0; i < parts.size(); ++i) {
      paths[i][rollout].emplace_back(number, number + parts[i].numbers());
      number += parts[i].numbers();
    }
  };
  for (int i = 0; i < kRollouts; ++i) {
    const RandomStream reset{.seed = 1, .purpose = Purpose::kEnvironmentReset};
    MENTOR_RETURN_IF_ERROR(environment->Reset(reset, i, observation));
    remember(i);
    for (int step = 0; step < kEpisodeSteps; ++step) {
      MENTOR_RETURN_IF_ERROR(random(observation, action));
      MENTOR_ASSIGN_OR_RETURN(const envs::StepOutcome outcome,
                              environment->Step(action, observation));
      remember(i);
      if (outcome.terminated || outcome.truncated) break;
    }
  }
  return paths;
}

double DistanceOf(const Point& a, const Point& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

// The box of the ends of random episodes.
struct Box {
  Point low, high;
  double reach() const { return DistanceOf(low, high) / 2; }
};
Box BoxOf(const std::vector<Path>& paths) {
  Box box{paths[0].back(), paths[0].back()};
  for (const Path& path : paths) {
    for (size_t i = 0; i < box.low.size(); ++i) {
      box.low[i] = std::min(box.low[i], path.back()[i]);
      box.high[i] = std::max(box.high[i], path.back()[i]);
    }
  }
  return box;
}

// True if the part moves within an episode; its places at resets differ by noise.
bool Moves(const std::vector<Path>& paths) {
  return std::any_of(paths.begin(), paths.end(), [](const Path& path) {
    return std::any_of(path.begin(), path.end(), [&path](const Point& point) {
      return DistanceOf(point, path.front()) >= kStill;
    });
  });
}

// Sets the marks' box, its size, and the radius of success.
void AddMarks(const std::vector<Path>& paths, Places* places) {
  const Box box = BoxOf(paths);
  const RandomStream stream{.seed = 1, .purpose = Purpose::kTasks};
  std::vector<double> nearest;
  for (int i = 0; i < kRollouts; ++i) {
    Point mark(box.low.size());
    for (size_t axis = 0; axis < mark.size(); ++axis) {
      mark[axis] = box.low[axis] + stream.Uniform(i, static_cast<uint32_t>(axis)) *
                                       (box.high[axis] - box.low[axis]);
    }
    for (const Path& path : paths) {
      double least = 1e30;
      for (size_t step = 1; step < path.size(); ++step)
        least = std::min(least, DistanceOf(path[step], mark));
      nearest.push_back(least);
    }
  }
  const auto place = nearest.begin() + static_cast<int64_t>(kRandomSuccess * nearest.size());
  std::nth_element(nearest.begin(), place, nearest.end());
  const auto text = [](const Point& p) {
    return absl::StrJoin(p, ", ",
                         [](std::string* out, double x) { absl::StrAppendFormat(out, "%.4g", x); });
  };
  (*places)["low"] = text(box.low);
  (*places)["high"] = text(box.high);
  (*places)["reach"] = absl::StrFormat("%.3g", box.reach());
  (*places)["radius"] = absl::StrFormat("%.3g", *place);
}

}  // namespace

absl::StatusOr<OwnModel> ReadOwnModel(const std::filesystem::path& model, const std::string& site) {
  OwnModel own;
  MENTOR_ASSIGN_OR_RETURN(ModelFiles given, ReadModelFiles(model));
  if (!IsPlain(given.model))
    return Bad("--model", "the file's path has special characters; rename it");
  own.files = std::move(given.files);
  MENTOR_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Create("mentor-new"));
  MENTOR_RETURN_IF_ERROR(WriteFiles(folder.path(), own.files));
  MENTOR_ASSIGN_OR_RETURN(const BundleManifest manifest, OfferFolder(folder.path()));
  MENTOR_ASSIGN_OR_RETURN(const auto held, FindBundle(BundleName(manifest.digest)));
  const auto parts = envs::mjcf::ReadModelParts(*held, given.model);
  if (absl::IsInvalidArgument(parts.status()))
    return Bad("--model", std::string(parts.status().message()));
  MENTOR_RETURN_IF_ERROR(parts.status());
  const ModelParts& m = *parts;
  if (m.actuators.empty()) {
    return Bad("--model",
               "it has no actuators, so nothing can act; add some (<actuator> of MJCF), or write a "
               "task with a mocap body as docs/own_tasks.md says");
  }
  MENTOR_ASSIGN_OR_RETURN(const std::vector<Part> tried, PartsToTry(m, site));
  own.episode_steps = kEpisodeSteps;
  own.places = {
      {"model", given.model},
      {"frame_skip",
       absl::StrCat(std::clamp(static_cast<int>(std::lround(kStepSeconds / m.timestep)), 1, 1000))},
      {"timestep", absl::StrFormat("%.4g", m.timestep)},
      {"episode_steps", absl::StrCat(kEpisodeSteps)},
      {"rollouts", absl::StrCat(kRollouts)},
      {"tip", FreeWord(m, "tip")},
      {"mark", FreeWord(m, "mark")},
      {"distance", FreeWord(m, "distance")},
      {"actuators", ActuatorLines(m)},
      {"reset", ResetLines(m)}};
  const auto paths = Explore(folder.path(), tried, m, own.places);
  if (absl::IsInvalidArgument(paths.status()))
    return Bad("--model", std::string(paths.status().message()));
  MENTOR_RETURN_IF_ERROR(paths.status());
  const auto moving = std::find_if(paths->begin(), paths->end(), Moves);
  if (moving == paths->end()) {
    if (!site.empty()) {
      return Bad("--site", absl::StrFormat("random actions do not move '%s'; name a site, body, "
                                           "geom or joint that actuators move",
                                           site));
    }
    return Bad("--model",
               "random actions move no site, body, geom, hinge or slide of it that has "
               "a name; name one that actuators move, as a site away from the axis, "
               "and look at their gear and ctrlrange");
  }
  const Part& part = tried[static_cast<size_t>(moving - paths->begin())];
  own.places["tip_kind"] = part.kind;
  own.places["tip_part"] = part.name;
  own.places["others"] = OtherSites(m, part.name);
  AddMarks(*moving, &own.places);
  return own;
}

}  // namespace mentor::templates
