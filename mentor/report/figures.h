// What the report draws: figures as data, from which come the charts of the page (chart.h), the
// script that gnuplot draws for papers (gnuplot_script.cc) and a CSV file. Pure functions: files
// are written by write.cc.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mentor/report/evaluation.h"
#include "mentor/report/report.h"
#include "mentor/report/statistics.h"

namespace mentor::report {

struct CsvFile {
  std::string name;  // With ".csv".
  std::string text;
};

// How a method is drawn: the same in every figure and every report.
struct Style {
  std::string colour;  // A colour of the theme.
  int point = 7;       // Numbers of gnuplot's.
  int dash = 1;
};
// place: for methods that are not known by name.
Style StyleOf(v1::EvaluationMethod method);
// The style of the place-th of several methods of a comparison.
Style StyleOf(size_t place);

// Where an end is not given, it is where the numbers need it.
struct Axis {
  std::string label = {};  // With its unit.
  std::optional<double> low = {};
  std::optional<double> high = {};
  bool log = false;
  bool whole = false;                   // Marks stand at whole numbers only.
  std::vector<std::string> names = {};  // Of the places 0, 1, 2, ...; empty: they are numbers.
};

struct Place {
  double x = 0;
  Interval y = {};  // The line breaks where the mean is NaN.
};
// y without an interval.
inline Place PlaceAt(double x, double y) {
  return {x, {y, y, y}};
}

struct Series {
  enum class Kind { kLine, kPoints, kLineAndPoints, kIntervals, kBars };
  std::string name;
  Style style;
  Kind kind = Kind::kLine;
  std::vector<Place> places = {};
  bool intervals = false;  // Lines have a band, points a bar.
  bool right = false;      // Measured by the axis on the right.
  // Of what is behind a mean of the same name, which: "single updates", "meta-seed 2". It is drawn
  // small and has no place in the legend. Empty: the mean itself.
  std::string single = {};

  // In files, where names tell series apart.
  std::string FullName() const { return single.empty() ? name : name + ", " + single; }
};

// A vertical line.
struct Mark {
  double at = 0;
  std::string label = {};
};

// From bar to bar: the least distance of two places; 1 where there are not two.
double BarWidth(const Series& series);

struct Image {
  int rows = 0, columns = 0;
  std::vector<double> values = {};  // [rows * columns]
};

struct Panel {
  std::string title = {};  // Where a figure has several.
  Axis x = {};
  Axis y = {};
  Axis right = {};
  std::vector<Series> series = {};
  std::vector<Mark> marks = {};
  bool transposed = false;  // Places go down the left side, values to the right.
  bool stacked = false;     // Bars stand on each other.
  Image image = {};         // Instead of series.
};

struct Figure {
  std::string name;     // Name of its files, without ending.
  std::string section;  // "evaluation", "beside", "training", "signal" or "cost"
  std::string title;    // Plain text, as all of these are.
  std::string caption;
  std::vector<Panel> panels;
  int columns = 1;   // Of panels.
  int height = 380;  // Pixels of all panels; the width is kFigureWidth.
};

// A name as a part of a file's: letters, digits and '-'; others become '_'.
std::string FileName(const std::string& name);

inline constexpr int kFigureWidth = 760;

struct Drawing {
  std::vector<CsvFile> tables;  // More numbers than the figures have.
  std::vector<Figure> figures;
};

// Series and panels without a number are left out, and a figure without any; so are values that
// have no place on a logarithmic axis.
void AddFigure(Figure figure, Drawing* drawing);

// The numbers of a figure, as its script reads them: a block for each series, with two empty lines
// between.
//   [panel,]series,x,[name,]value,low,high
//   column,row,value                        of an image
CsvFile TableOf(const Figure& figure);

// Environment steps in a unit that keeps the numbers short: "million ", 1e6.
struct StepUnit {
  std::string prefix;  // Of a label; may be empty.
  double steps = 1;
};
StepUnit StepUnitOf(double most);

// Running means are over a tenth of the run, so that a short run does not vanish in one number.
inline constexpr int kRunningMeanMax = 10;  // Outer updates.
int RunningWindow(size_t updates);
// "lines are the mean of the last 4 updates", or that they join the points.
std::string RunningWords(int window);

// The greatest value or end of an interval; at least 0.
double HighestOf(const std::vector<Series>& series);
// From 0 to 1 where rates are high; otherwise as much as there is to see.
void FitRates(Panel* panel);

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

void DrawTraining(const ReportData& data, Drawing* drawing);
void DrawSignals(const std::vector<SignalSample>& samples, Drawing* drawing);
void DrawMaps(const std::vector<MapSample>& maps, int iterations, Drawing* drawing);
void DrawCost(const std::vector<TrainingPoint>& training, Drawing* drawing);

std::vector<PhaseCost> CostByPhase(const std::vector<TrainingPoint>& training);
// One entry for each lifetime and the pooled one last.
std::vector<Correlation> Correlate(const std::vector<SignalSample>& samples);
// Outer updates before the first of which there are numbers, as of a run that went on from another
// one: their environment steps are counted, their seconds are not.
uint32_t UpdatesBefore(const std::vector<TrainingPoint>& training);
// Of all its updates; NaN when none is known.
double CpuSeconds(const std::vector<TrainingPoint>& training);
// Environment steps a second of wall time over all updates that have both; 0 when none has.
double StepsPerSecond(const std::vector<TrainingPoint>& training);

// The gnuplot script of a figure: it reads NAME.csv and draws NAME.svg and NAME.png.
std::string Script(const Figure& figure);

}  // namespace mentor::report
