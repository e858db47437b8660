// Performance of agents that learn beside their signal: return and success of the last n whole
// episodes of each agent. Agents of the evaluation are measured after the same number of
// environment steps. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mentor/report/comparison.h"
#include "mentor/report/figures.h"
#include "mentor/report/report.h"
#include "mentor/report/statistics.h"
#include "mentor/report/table.h"

namespace mentor::report {

// Title of the page's chapter about these agents.
inline constexpr char kBesideTitle[] = "Last episodes of agents";
inline constexpr char kBesideSection[] = "beside";  // Section of their figures.

// Agents that are measured together.
struct Cohort {
  std::string name;
  std::string group = {};  // See Contender.
  bool beside = false;     // The agents learned beside their signal; otherwise they were evaluated.
  bool is_ppo = false;     // Agents without a signal, which are the baseline of the others.
  Style style = {};
  int iteration_steps = 0;    // Environment steps of an inner iteration.
  size_t episodes_known = 0;  // Newest episodes kept per agent; older ones may be missing.
  struct Life {
    size_t meta_seed = 0;  // See Contender::Row.
    const EvaluationRow* row = nullptr;
    int iterations = 0;  // Iterations lived so far.
  };
  std::vector<Life> lives = {};

  uint64_t env_steps() const;  // Steps per agent; the longest lifetime counts.
};

// Returns the cohorts of a run: agents beside their signal, and agents of the first evaluated
// tasks. Empty when no agent learned beside its signal. `data` must outlive the cohorts.
std::vector<Cohort> CohortsOf(const ReportData& data);
// Returns the cohorts of a comparison.
std::vector<Cohort> CohortsOf(const std::vector<Group>& groups,
                              const std::vector<Ranking>& rankings);

// Means over agents of each agent's mean over its last n episodes, or over all if it has fewer.
// Agents without an episode are left out.
struct LastEpisodes {
  uint64_t env_steps = 0;                        // Per agent.
  Scores returns = {}, successes = {};           // One value per agent.
  size_t fewest = 0, most = 0;                   // Episodes per agent.
  Interval mean_return = {}, mean_success = {};  // The ends are NaN for a single agent.
};
// Measures the agents after `env_steps` environment steps each, or after all their steps if they
// made fewer. Returns nullopt when no episode had ended, or when the needed episodes are no longer
// kept.
std::optional<LastEpisodes> Measure(const Cohort& cohort, int n, uint64_t env_steps,
                                    int resamples = kBootstrapResamples);

// Agents beside their signal get a row at all their steps, and a second row at the steps of
// evaluated agents if those are fewer. Rows of evaluated agents stop at the steps of the agents
// beside their signal.
Table LastEpisodesTable(const std::vector<Cohort>& cohorts, int n);
// Compares each cohort beside its signal with PPO after the same number of steps.
std::vector<std::string> LastEpisodesWords(const std::vector<Cohort>& cohorts, int n);
void DrawLastEpisodes(const std::vector<Cohort>& cohorts, int n, Drawing* drawing);

}  // namespace mentor::report
