// The cost of the run: throughput and time by phase.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include <absl/strings/str_format.h>

#include "mentor/report/figures.h"

namespace mentor::report {
namespace {

std::optional<double> Find(const TrainingPoint& point, const std::string& metric) {
  const auto found = point.metrics.find(metric);
  if (found == point.metrics.end() || !std::isfinite(found->second)) return std::nullopt;
  return found->second;
}

struct Phase {
  const char* name;
  const char* colour;
};
constexpr Phase kPhases[] = {{"simulation", "blue"},
                             {"policy", "sky"},
                             {"signal network", "orange"},
                             {"inner updates", "green"},
                             {"outer rule", "purple"}};

// Returns the CPU seconds of an outer update by phase, in the order of kPhases; nullopt when none
// is known.
std::optional<std::vector<double>> PhaseSeconds(const TrainingPoint& point) {
  const auto rollout = Find(point, "rollout_seconds"), policy = Find(point, "policy_seconds"),
             signal = Find(point, "signal_seconds"), update = Find(point, "update_seconds"),
             outer = Find(point, "outer_seconds");
  if (!rollout && !policy && !signal && !update && !outer) return std::nullopt;
  // The policy's time is estimated from samples. It can exceed the whole when steps take less than
  // a microsecond.
  const double rollout_seconds = rollout.value_or(0),
               policy_seconds = std::min(policy.value_or(0), rollout_seconds);
  return std::vector<double>{rollout_seconds - policy_seconds, policy_seconds, signal.value_or(0),
                             update.value_or(0), outer.value_or(0)};
}

// Returns the environment steps of point i alone; 0: unknown.
double StepsOf(const std::vector<TrainingPoint>& training, size_t i) {
  if (i == 0 && UpdatesBefore(training) > 0) return 0;  // The steps of the earlier run are unknown.
  const uint64_t before = i == 0 ? 0 : training[i - 1].env_steps;
  return training[i].env_steps > before ? static_cast<double>(training[i].env_steps - before) : 0;
}

}  // namespace

uint32_t UpdatesBefore(const std::vector<TrainingPoint>& training) {
  return training.empty() ? 0 : std::max(training.front().outer_update, 1u) - 1;
}

std::vector<PhaseCost> CostByPhase(const std::vector<TrainingPoint>& training) {
  std::vector<double> sums(std::size(kPhases), 0.0);
  int count = 0;
  for (const TrainingPoint& point : training) {
    const auto seconds = PhaseSeconds(point);
    if (!seconds) continue;
    for (size_t p = 0; p < sums.size(); ++p) sums[p] += (*seconds)[p];
    ++count;
  }
  std::vector<PhaseCost> costs;
  if (count == 0) return costs;
  double total = 0;
  for (const double sum : sums) total += sum;
  for (size_t p = 0; p < sums.size(); ++p) {
    costs.push_back({kPhases[p].name, sums[p] / count, total > 0 ? sums[p] / total : 0});
  }
  return costs;
}

double StepsPerSecond(const std::vector<TrainingPoint>& training) {
  double steps = 0, seconds = 0;
  for (size_t i = 0; i < training.size(); ++i) {
    const auto wall = Find(training[i], "wall_seconds");
    if (!wall || *wall <= 0 || StepsOf(training, i) == 0) continue;
    steps += StepsOf(training, i);
    seconds += *wall;
  }
  return seconds > 0 ? steps / seconds : 0;
}

double CpuSeconds(const std::vector<TrainingPoint>& training) {
  double sum = 0;
  bool known = false;
  for (const TrainingPoint& point : training) {
    const auto seconds = PhaseSeconds(point);
    if (!seconds) continue;
    for (const double phase : *seconds) sum += phase;
    known = true;
  }
  return known ? sum : kNone;
}

void DrawCost(const std::vector<TrainingPoint>& training, Drawing* drawing) {
  if (training.empty()) return;
  Axis updates{.label = "outer updates",
               .low = training.front().outer_update - 0.6,
               .high = training.back().outer_update + 0.6,
               .whole = true};
  Series speed{.name = "all updates", .style = {"blue"}, .kind = Series::Kind::kLineAndPoints};
  std::vector<Series> phases;
  for (const Phase& phase : kPhases) {
    phases.push_back({.name = phase.name, .style = {phase.colour}, .kind = Series::Kind::kBars});
  }
  for (size_t i = 0; i < training.size(); ++i) {
    const double update = training[i].outer_update;
    const auto wall = Find(training[i], "wall_seconds");
    const bool known = wall && *wall > 0 && StepsOf(training, i) > 0;
    speed.places.push_back(PlaceAt(update, known ? StepsOf(training, i) / *wall : kNone));
    if (const auto seconds = PhaseSeconds(training[i])) {
      for (size_t p = 0; p < phases.size(); ++p)
        phases[p].places.push_back(PlaceAt(update, (*seconds)[p]));
    }
  }
  Panel throughput{.x = updates,
                   .y = {.label = "environment steps a second", .low = 0},
                   .series = {std::move(speed)}};
  AddFigure({.name = "throughput",
             .section = "cost",
             .title = "Throughput",
             .caption = "Environment steps of an outer update divided by its whole wall time, "
                        "learning included.",
             .panels = {std::move(throughput)},
             .height = 300},
            drawing);
  Panel piles{.x = std::move(updates),
              .y = {.label = "CPU seconds of an outer update", .low = 0},
              .series = std::move(phases),
              .stacked = true};
  AddFigure(
      {.name = "phases",
       .section = "cost",
       .title = "CPU time by phase",
       .caption = "CPU seconds of all threads for one outer update. Simulation is the rollout "
                  "without policy and noise; inner updates are those of the agents.",
       .panels = {std::move(piles)},
       .height = 340},
      drawing);
}

}  // namespace mentor::report
