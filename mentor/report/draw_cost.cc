// What the run cost: throughput and time by phase.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include <absl/strings/str_format.h>

#include "mentor/report/csv_table.h"
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

// CPU seconds of one outer update by phase, in the order of kPhases; nothing when none is known.
std::optional<std::vector<double>> PhaseSeconds(const TrainingPoint& point) {
  const auto rollout = Find(point, "rollout_seconds"), policy = Find(point, "policy_seconds"),
             signal = Find(point, "signal_seconds"), update = Find(point, "update_seconds"),
             outer = Find(point, "outer_seconds");
  if (!rollout && !policy && !signal && !update && !outer) return std::nullopt;
  // The policy's time is estimated from samples: where steps take less than a microsecond it can
  // exceed the whole.
  const double rollout_seconds = rollout.value_or(0),
               policy_seconds = std::min(policy.value_or(0), rollout_seconds);
  return std::vector<double>{rollout_seconds - policy_seconds, policy_seconds, signal.value_or(0),
                             update.value_or(0), outer.value_or(0)};
}

// Steps of point i alone.
double StepsOf(const std::vector<TrainingPoint>& training, size_t i) {
  const uint64_t before = i == 0 ? 0 : training[i - 1].env_steps;
  return training[i].env_steps > before ? static_cast<double>(training[i].env_steps - before) : 0;
}

}  // namespace

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

void DrawCost(const std::vector<TrainingPoint>& training, Drawing* drawing) {
  std::vector<std::string> header = {"outer_update", "steps_per_second"};
  for (const Phase& phase : kPhases) header.push_back(std::string(phase.name) + " CPU s");
  CsvTable table(header);
  bool has_phases = false, has_speed = false;
  for (size_t i = 0; i < training.size(); ++i) {
    CsvTable::Row row;
    row.Number(training[i].outer_update);
    const auto wall = Find(training[i], "wall_seconds");
    if (wall && *wall > 0 && StepsOf(training, i) > 0) {
      row.Number(StepsOf(training, i) / *wall);
      has_speed = true;
    } else {
      row.Empty(1);
    }
    const auto seconds = PhaseSeconds(training[i]);
    if (seconds) {
      for (const double value : *seconds) row.Number(value);
      has_phases = true;
    } else {
      row.Empty(static_cast<int>(std::size(kPhases)));
    }
    table.Add(std::move(row));
  }
  if (!has_phases && !has_speed) return;
  drawing->tables.push_back({"cost.csv", table.text()});
  const double first = training.front().outer_update, last = training.back().outer_update;
  const std::string range = absl::StrFormat("set xrange [%.1f:%.1f]\n%s", first - 0.6, last + 0.6,
                                            last - first < 10 ? "set xtics 1\n" : "");

  if (has_speed) {
    drawing->figures.push_back({.name = "throughput",
                                .section = "cost",
                                .title = "Throughput",
                                .caption = "Environment steps of an outer update divided by its "
                                           "whole wall time, learning included.",
                                .csv = "cost.csv",
                                .commands = "set ylabel 'environment steps / s'\nset xlabel 'outer "
                                            "updates'\nset lmargin 11\nunset key\n"
                                            "set yrange [0:*]\n" +
                                            range +
                                            "plot 'cost.csv' skip 1 using 1:2 with linespoints "
                                            "linecolor rgb '@blue@' linewidth 2 pointtype 7 "
                                            "pointsize 0.5 notitle\n",
                                .height = 300});
  }
  if (has_phases) {
    std::string commands =
        "set ylabel 'CPU seconds of an outer update'\nset xlabel 'outer updates'\nset lmargin 11\n"
        "set yrange [0:*]\nset style fill solid 0.9 noborder\n" +
        range + absl::StrFormat("set boxwidth %.2f\nplot \\\n", training.size() > 60 ? 1.0 : 0.85);
    // The highest pile first, so that lower ones cover it.
    const size_t phases = std::size(kPhases);
    for (size_t p = phases; p-- > 0;) {
      std::string sum = "$3";
      for (size_t q = 1; q <= p; ++q) sum += absl::StrFormat("+$%d", 3 + q);
      commands += absl::StrFormat(
          "  'cost.csv' skip 1 using 1:(%s) with boxes fillcolor rgb '@%s@' title '%s'%s\n", sum,
          kPhases[p].colour, kPhases[p].name, p > 0 ? ", \\" : "");
    }
    drawing->figures.push_back(
        {.name = "phases",
         .section = "cost",
         .title = "CPU time by phase",
         .caption = "CPU seconds of all threads for one outer update. Simulation is the rollout "
                    "without policy and noise; inner updates are the agents' PPO.",
         .csv = "cost.csv",
         .commands = commands,
         .height = 340});
  }
}

}  // namespace mentor::report
