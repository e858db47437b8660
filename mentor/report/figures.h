// Figures as data. The charts of the page (chart.h), the gnuplot scripts for papers
// (gnuplot_script.cc) and CSV files are made from them. Pure functions; write.cc writes the files.
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
  std::string name;  // Includes ".csv".
  std::string text;
};

// The style of a method, the same in every figure and report.
struct Style {
  std::string colour;  // A colour of the theme.
  int point = 7;       // Number of gnuplot's point type.
  int dash = 1;
};
// Returns the style of a method known by name.
Style StyleOf(v1::EvaluationMethod method);
// Returns the style of the place-th method of a comparison.
Style StyleOf(size_t place);

// An unset end of an axis follows from the data.
struct Axis {
  std::string label = {};  // Includes its unit.
  std::optional<double> low = {};
  std::optional<double> high = {};
  bool log = false;
  bool whole = false;                   // Ticks only at whole numbers.
  std::vector<std::string> names = {};  // Names of the places 0, 1, 2, ...; empty for numbers.
};

struct Place {
  double x = 0;
  Interval y = {};  // The line breaks where the mean is NaN.
};
// Returns a place with the value y and no interval.
inline Place PlaceAt(double x, double y) {
  return {x, {y, y, y}};
}

struct Series {
  enum class Kind { kLine, kPoints, kLineAndPoints, kIntervals, kBars };
  std::string name;
  Style style;
  Kind kind = Kind::kLine;
  std::vector<Place> places = {};
  bool intervals = false;  // Lines have a band, and points have a bar.
  bool right = false;      // Uses the axis on the right.
  // Marks a series behind a mean of the same name: "single updates", "meta-seed 2". Such a series
  // is drawn small and is not in the legend. Empty: the mean itself.
  std::string single = {};

  // Name in files, where it must be unique.
  std::string FullName() const { return single.empty() ? name : name + ", " + single; }
};

// A vertical line.
struct Mark {
  double at = 0;
  std::string label = {};
};

// Returns the distance between bars: the least distance of two places; 1 with fewer than two.
double BarWidth(const Series& series);

struct Image {
  int rows = 0, columns = 0;
  std::vector<double> values = {};  // [rows * columns]
};

struct Panel {
  std::string title = {};  // Set when a figure has several panels.
  Axis x = {};
  Axis y = {};
  Axis right = {};
  std::vector<Series> series = {};
  std::vector<Mark> marks = {};
  bool transposed = false;  // Places go down the left side, values to the right.
  bool stacked = false;     // Bars stand on each other.
  Image image = {};         // Replaces the series.
};

struct Figure {
  std::string name;     // Name of its files, without ending.
  std::string section;  // "evaluation", "beside", "training", "signal" or "cost"
  std::string title;    // Plain text, as all texts here.
  std::string caption;
  std::vector<Panel> panels;
  int columns = 1;   // Columns of panels.
  int height = 380;  // Height of all panels in pixels; the width is kFigureWidth.
};

// Returns a name as part of a file name: letters, digits and '-'; other characters become '_'.
std::string FileName(const std::string& name);

inline constexpr int kFigureWidth = 760;

struct Drawing {
  std::vector<CsvFile> tables;  // Tables with more numbers than the figures show.
  std::vector<Figure> figures;
};

// Adds a figure. Series and panels without a number are left out, and so is a figure without
// panels. A logarithmic axis also leaves out values that it cannot show.
void AddFigure(Figure figure, Drawing* drawing);

// Returns the numbers of a figure in the form that its script reads: a block per series, with two
// empty lines between blocks.
//   [panel,]series,x,[name,]value,low,high
//   column,row,value                        of an image
CsvFile TableOf(const Figure& figure);

// A unit for environment steps that keeps the numbers short: "million ", 1e6.
struct StepUnit {
  std::string prefix;  // Prefix of the label; may be empty.
  double steps = 1;
};
StepUnit StepUnitOf(double most);

// Running means span a tenth of the run, so that a short run keeps several values.
inline constexpr int kRunningMeanMax = 10;  // Outer updates.
int RunningWindow(size_t updates);
// Returns "lines are the mean of the last 4 updates", or says that lines join the points.
std::string RunningWords(int window);

// Returns the greatest value or end of an interval; at least 0.
double HighestOf(const std::vector<Series>& series);
// Sets the axis to 0 to 1 for high rates, and to the range of the values otherwise.
void FitRates(Panel* panel);

// A row of the table of cost by phase; seconds are means over the outer updates.
struct PhaseCost {
  std::string phase;
  double seconds = 0;
  double share = 0;  // Its share of all CPU seconds.
};

// Success of the agents of one generation by inner iteration, or shaped return when no episode
// succeeds. Computed from the metrics of a rule with decisions inside a lifetime.
struct LifeCurve {
  int generation = 0;
  bool success = false;
  std::vector<int> iterations = {};
  std::vector<double> values = {};
};
// Returns the curves by generation. Incomplete generations are left out if a complete one exists.
std::vector<LifeCurve> LifeCurves(const std::vector<TrainingPoint>& training);

struct Correlation {
  std::string lifetime;  // Number, or "pooled".
  size_t steps = 0;
  double pearson = 0;  // Correlation with the shaped reward; NaN when either is constant.
  double spearman = 0;
  // Correlation with the change of the shaped reward in a step; NaN when episodes are unknown.
  double change_pearson = 0;
  double change_spearman = 0;
};

void DrawTraining(const ReportData& data, Drawing* drawing);
void DrawSignals(const std::vector<SignalSample>& samples, Drawing* drawing);
void DrawMaps(const std::vector<MapSample>& maps, int iterations, Drawing* drawing);
void DrawCost(const std::vector<TrainingPoint>& training, Drawing* drawing);

std::vector<PhaseCost> CostByPhase(const std::vector<TrainingPoint>& training);
// Returns one entry per lifetime, and the pooled entry last.
std::vector<Correlation> Correlate(const std::vector<SignalSample>& samples);
// Returns the number of outer updates before the first point, for instance in a run that continues
// another. Their environment steps are counted, but their seconds are not.
uint32_t UpdatesBefore(const std::vector<TrainingPoint>& training);
// Returns the CPU seconds of all updates; NaN when none is known.
double CpuSeconds(const std::vector<TrainingPoint>& training);
// Returns environment steps per second of wall time over the updates with both numbers; 0 without
// any.
double StepsPerSecond(const std::vector<TrainingPoint>& training);

// Returns the gnuplot script of a figure, which reads NAME.csv and draws NAME.svg and NAME.png.
std::string Script(const Figure& figure);

}  // namespace mentor::report
