// Success (or shaped return) by episode of the lifetime: figures and tables. They show a run, or
// several runs side by side, and published curves. Pure functions.
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

// One method, whose lifetimes all have the same number of episodes.
struct EpisodeCurve {
  std::string name;
  Style style;
  std::vector<std::string> aliases = {};  // Further method names that published curves may use.
  int lifetime_episodes = 0;
  std::vector<Interval> episodes = {};  // The deterministic ones come last.
  // Single meta-seeds behind the mean; empty with one meta-seed.
  struct Single {
    std::string name;
    std::vector<Interval> episodes = {};
  };
  std::vector<Single> singles = {};
  // For the table: the inner iterations, and the deterministic episodes.
  std::vector<Interval> segments = {};
  std::optional<Interval> det = {};
};

// The curves of one split. Without curves, for instance when lifetimes differ in their number of
// episodes, nothing is drawn.
struct EpisodeCurves {
  std::string split;
  bool has_goals = true;
  std::string section;  // Section of the page.
  Quantity quantity = Quantity::kSuccess;
  size_t segments = 1;
  std::vector<EpisodeCurve> curves = {};
};

// Returns the names by which a published curve matches the method that this run learned.
std::vector<std::string> NamesOfLearned(const ReportData& run);

// Returns the curves of each split of a run, in the order of the results.
std::vector<EpisodeCurves> EpisodesOfRun(const std::vector<MethodResult>& results,
                                         const ReportData& data);

void DrawEpisodes(const EpisodeCurves& own, const Published& published, Drawing* drawing);

// Returns a table for each split with own and published curves: each part of the lifetime side by
// side. A table is named "published_SPLIT".
std::vector<Table> PublishedTables(const std::vector<EpisodeCurves>& all,
                                   const Published& published);

// Draws the figures and adds the files of a run's evaluation.
void DrawEvaluation(const std::vector<EvaluationRow>& rows,
                    const std::vector<MethodResult>& results,
                    const std::vector<Comparison>& comparisons,
                    const std::vector<EpisodeCurves>& episodes, const Published& published,
                    Drawing* drawing);

// Names published curves that no figure shows, and the reason; empty when all are shown.
std::string NotShown(const std::vector<EpisodeCurves>& all, const Published& published);

}  // namespace mentor::report
