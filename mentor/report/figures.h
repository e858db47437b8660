// What the report draws: tables of numbers as CSV and the gnuplot commands that turn them into
// pictures. Pure functions: files are written by report.cc.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mentor/report/evaluation.h"
#include "mentor/report/report.h"

namespace mentor::report {

struct CsvFile {
  std::string name;  // With ".csv".
  std::string text;
};

struct Figure {
  std::string name;           // Name of its files, without ending.
  std::string section;        // "evaluation", "training", "signal" or "cost"
  std::string title;          // Plain text.
  std::string caption;        // Plain text.
  std::string csv = {};       // Name of the file that it draws.
  std::string commands = {};  // gnuplot; files by name only.
  int height = 380;           // Pixels; the width is kFigureWidth.
};

// How a method is drawn: the same in every figure and every report.
struct Style {
  std::string colour;  // A colour of the theme.
  int point = 7;
  int dash = 1;
};
// place: for methods that are not known by name.
Style StyleOf(v1::EvaluationMethod method);
// The style of the place-th of several methods of a comparison.
Style StyleOf(size_t place);

// A name as a part of a file's: letters, digits and '-'; others become '_'.
std::string FileName(const std::string& name);

inline constexpr int kFigureWidth = 760;
inline constexpr int kRunningMean = 10;  // Outer updates.

struct Drawing {
  std::vector<CsvFile> tables;
  std::vector<Figure> figures;
};

// A row of the table of cost by phase; seconds are means over the outer updates.
struct PhaseCost {
  std::string phase;
  double seconds = 0;
  double share = 0;  // Its share of all CPU seconds.
};

// Success (or, where nothing succeeds, shaped return) of the agents of one generation by inner
// iteration, from the metrics of a rule with decisions inside a lifetime.
struct LifeCurve {
  int generation = 0;
  bool success = false;
  std::vector<int> iterations = {};
  std::vector<double> values = {};
};
// By generation. Generations that were cut short are left out when a whole one follows or comes
// before.
std::vector<LifeCurve> LifeCurves(const std::vector<TrainingPoint>& training);

struct Correlation {
  std::string lifetime;  // Number, or "pooled".
  size_t steps = 0;
  double pearson = 0;  // With the shaped reward; NaN when one of both is constant.
  double spearman = 0;
  // With the change of the shaped reward by the step; NaN when episodes are unknown.
  double change_pearson = 0;
  double change_spearman = 0;
};

void DrawEvaluation(const std::vector<EvaluationRow>& rows,
                    const std::vector<MethodResult>& results,
                    const std::vector<Comparison>& comparisons, Drawing* drawing);
void DrawTraining(const ReportData& data, Drawing* drawing);
void DrawSignals(const std::vector<SignalSample>& samples, Drawing* drawing);
void DrawMaps(const std::vector<MapSample>& maps, Drawing* drawing);
void DrawCost(const std::vector<TrainingPoint>& training, Drawing* drawing);

std::vector<PhaseCost> CostByPhase(const std::vector<TrainingPoint>& training);
// One entry for each lifetime and the pooled one last.
std::vector<Correlation> Correlate(const std::vector<SignalSample>& samples);
// Environment steps a second of wall time over all updates that have both; 0 when none has.
double StepsPerSecond(const std::vector<TrainingPoint>& training);

// The whole script of a figure: it draws NAME.svg and NAME.png.
std::string Script(const Figure& figure);

}  // namespace mentor::report
