// point_navigation: 2-D navigation to a goal that the observation hides. Goals in a square with a
// dense reward are MAML's (Finn et al. 2017, section 5.3). Goals on a half circle, with a reward
// only near them, are MAESN's (Gupta et al. 2018). Acceptance:
// docs/algorithms/small_environments.md#point-navigation.
//
// A task's parameters are the goal. Episodes begin at the origin and have no chance in them.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <absl/strings/str_cat.h>

#include "envs/small/small_environment.h"

namespace mentor::envs::point_navigation {
namespace {

constexpr char kName[] = "point_navigation";
constexpr char kSummary[] =
    "Navigate in the plane to a hidden goal, dense (MAML) or sparse reward (MAESN).";
constexpr double kStep = 0.1;      // MAML: velocities are clipped to [-0.1, 0.1].
constexpr double kHalfSide = 0.5;  // Goals in the square.
constexpr double kNear = 0.2;      // The sparse reward ends here; success.

struct Config {
  bool half_circle;
  double radius;
  bool sparse;
  double stop_distance;
  int episode_steps;

  // No coordinate of a goal is greater.
  double reach() const { return half_circle ? radius : kHalfSide; }
};

const auto kOptions =
    Bind<Config>({{&Config::half_circle,
                   "goals",
                   {{"square", false}, {"half_circle", true}},
                   "Where goals lie: in [-0.5, 0.5]^2 (MAML), or at distance `radius` from the "
                   "origin with a second number >= 0 (MAESN)."},
                  {&Config::radius, "radius", "2", 0.01, 1000,
                   "Distance of the goals of half_circle from the origin."},
                  {&Config::sparse,
                   "reward",
                   {{"dense", false}, {"sparse", true}},
                   "-distance^2, or 1 - distance within 0.2 of the goal and 0 elsewhere."},
                  {&Config::stop_distance, "stop_distance", "0.01", 0, 1,
                   "The episode ends this near to the goal (MAML: 0.01). 0: never; all episodes "
                   "then have one length and a unit can be one episode."},
                  {&Config::episode_steps, "episode_steps", "100", 1, 100000,
                   "Steps of an episode at most (H)."}});

class PointNavigation : public SmallEnvironment {
 public:
  explicit PointNavigation(const Config& config)
      : SmallEnvironment({.info = {.name = kName,
                                   .summary = kSummary,
                                   .observation_size = 2,
                                   .action_size = 2,
                                   .episode_steps = config.episode_steps,
                                   .independent_episodes = config.stop_distance == 0},
                          .state = 2,
                          .parameters = 2,
                          .parameters_are = "the goal",
                          .low = -config.reach(),
                          .high = config.reach()}),
        config_(config) {}

 protected:
  absl::Status Prepare(std::span<const double> goal) override {
    const double radius = std::sqrt(goal[0] * goal[0] + goal[1] * goal[1]);
    if (!config_.half_circle || (goal[1] >= 0 && std::abs(radius - config_.radius) < 1e-6))
      return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("task.parameters of point_navigation is (", goal[0], ", ", goal[1],
                     "); with goals half_circle the goal lies at distance ", config_.radius,
                     " from the origin and its second number is not negative"));
  }

  StepOutcome Advance(std::span<const float> action) override {
    double square = 0;
    for (int i = 0; i < 2; ++i) {
      double& x = state()[i];
      x += kStep * std::clamp(static_cast<double>(action[i]), -1.0, 1.0);
      square += (x - parameters()[i]) * (x - parameters()[i]);
    }
    const double distance = std::sqrt(square);
    // The papers leave the sparse reward's form near the goal open. Their codes pay -distance there
    // and a constant elsewhere; as PEARL's point robot does, the constant is moved to 0.
    const double sparse = distance < kNear ? 1 - distance : 0;
    return {.reward = config_.sparse ? sparse : -square,
            .success = distance < kNear,
            .terminated = distance < config_.stop_distance};
  }

  bool Script(std::span<float> action) const override {
    for (int i = 0; i < 2; ++i) action[i] = Towards(parameters()[i] - state()[i], kStep);
    return true;
  }

 private:
  const Config config_;
};

std::vector<double> DrawParameters(const OptionValues& options, const RandomStream& random,
                                   uint32_t index) {
  const Config config = kOptions.Read(options);
  if (!config.half_circle) {
    const auto draw = [&](uint32_t i) { return kHalfSide * (2 * random.Uniform(index, i) - 1); };
    return {draw(0), draw(1)};
  }
  // Uniform on the half circle without a sine: a normal vector, scaled and reflected.
  double n[2];
  random.Normals(index, n);
  const double norm = std::sqrt(n[0] * n[0] + n[1] * n[1]);
  return {config.radius * (n[0] / norm), config.radius * (std::abs(n[1]) / norm)};
}

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = MadeBy<PointNavigation>(kOptions),
    .draw_parameters = DrawParameters,
    .task_help = "parameters: the goal, two numbers, where the option goals says; drawn uniformly "
                 "there",
    .observation_help = "position (2 numbers); the goal is hidden",
    .reward_help = "dense: -distance^2; sparse: 1 - distance within 0.2 of the goal, else 0; "
                   "success within 0.2",
    .random_help = "none: episodes begin at the origin; with the task: the goal",
    .source = "Finn et al. 2017, section 5.3 (MAML); Gupta et al. 2018 (MAESN)",
});

}  // namespace
}  // namespace mentor::envs::point_navigation
