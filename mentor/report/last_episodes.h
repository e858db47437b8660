// How agents do that learn beside their signal: return and success of the last n whole episodes of
// each, and the same of the evaluation's agents after as many environment steps. Pure functions.
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

// Of the pages that show them.
inline constexpr char kBesideTitle[] = "Last episodes of agents";
inline constexpr char kBesideSection[] = "beside";  // Of their figures.

// Agents that are measured together.
struct Cohort {
  std::string name;
  std::string group = {};  // See Contender.
  bool beside = false;     // They learned beside their signal; otherwise they were evaluated.
  bool is_ppo = false;     // Without a signal: what the others are held against.
  Style style = {};
  int iteration_steps = 0;    // Environment steps of an inner iteration.
  size_t episodes_known = 0;  // The newest of an agent; older ones may be missing.
  struct Life {
    size_t meta_seed = 0;  // See Contender::Row.
    const EvaluationRow* row = nullptr;
    int iterations = 0;  // Of its life so far.
  };
  std::vector<Life> lives = {};

  uint64_t env_steps() const;  // Of one agent, the longest life.
};

// Of a run: agents beside their signal, and of the first tasks that were evaluated. Empty where no
// agent learned beside its signal. The data outlive them.
std::vector<Cohort> CohortsOf(const ReportData& data);
// Of a comparison.
std::vector<Cohort> CohortsOf(const std::vector<Group>& groups,
                              const std::vector<Standing>& standings);

// Of each agent the mean over its last n episodes, or all if it has fewer, then the mean over the
// agents. Agents without an episode have no part.
struct LastEpisodes {
  uint64_t env_steps = 0;                        // Of one agent.
  Scores returns = {}, successes = {};           // A value for each agent.
  size_t fewest = 0, most = 0;                   // Episodes of an agent.
  Interval mean_return = {}, mean_success = {};  // Ends are NaN where there is one agent.
};
// What they had achieved when each had made so many environment steps, or as many as it made.
// Nothing when no episode had ended, or older ones are needed than are known.
std::optional<LastEpisodes> Measure(const Cohort& cohort, int n, uint64_t env_steps,
                                    int resamples = kBootstrapResamples);

// Rows of agents beside their signal stand at all their steps and, where evaluated agents have
// fewer, at as many as these; rows of evaluated agents at no more steps than the first have.
Table LastEpisodesTable(const std::vector<Cohort>& cohorts, int n);
// Each cohort beside its signal against PPO, after equally many steps.
std::vector<std::string> LastEpisodesWords(const std::vector<Cohort>& cohorts, int n);
void DrawLastEpisodes(const std::vector<Cohort>& cohorts, int n, Drawing* drawing);

}  // namespace mentor::report
