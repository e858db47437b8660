// Success (or shaped return) by episode of the lifetime, of a run and of several runs side by side,
// and published curves beside it: the figure and the table. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mentor/report/evaluation.h"
#include "mentor/report/figures.h"
#include "mentor/report/published.h"
#include "mentor/report/statistics.h"
#include "mentor/report/table.h"

namespace mentor::report {

// One method, all of whose lifetimes have equally many episodes.
struct EpisodeCurve {
  std::string name;
  Style style;
  std::vector<std::string> aliases = {};  // Under which a published curve is of this method, too.
  int lifetime_episodes = 0;
  std::vector<Interval> episodes = {};  // The deterministic ones last.
  // Single meta-seeds behind the mean; empty: there is one.
  struct Single {
    std::string name;
    std::vector<Interval> episodes = {};
  };
  std::vector<Single> singles = {};
  // For the table: each inner iteration, and the deterministic episodes.
  std::vector<Interval> segments = {};
  std::optional<Interval> det = {};
};

// Of one split. No curves: nothing is drawn, as where lifetimes have other numbers of episodes.
struct EpisodeCurves {
  std::string split;
  bool has_goals = true;
  std::string section;  // Of the page.
  Quantity quantity = Quantity::kSuccess;
  size_t segments = 1;
  std::vector<EpisodeCurve> curves = {};
};

// Under which names a published curve is of the method that this run has learned.
std::vector<std::string> NamesOfLearned(const ReportData& run);

// Of each split of a run, in the order of the results.
std::vector<EpisodeCurves> EpisodesOfRun(const std::vector<MethodResult>& results,
                                         const ReportData& data);

void DrawEpisodes(const EpisodeCurves& own, const Published& published, Drawing* drawing);

// Each part of the lifetime of ours and of what is published, side by side: a table for each split
// that has both, named "published_SPLIT".
std::vector<Table> PublishedTables(const std::vector<EpisodeCurves>& all,
                                   const Published& published);

// The figures and files of a run's evaluation.
void DrawEvaluation(const std::vector<EvaluationRow>& rows,
                    const std::vector<MethodResult>& results,
                    const std::vector<Comparison>& comparisons,
                    const std::vector<EpisodeCurves>& episodes, const Published& published,
                    Drawing* drawing);

// Which published curves have no place in any of the figures, and why; empty: all have.
std::string NotShown(const std::vector<EpisodeCurves>& all, const Published& published);

}  // namespace mentor::report
