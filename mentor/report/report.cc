#include "mentor/report/report.h"

#include <cmath>
#include <fstream>
#include <sstream>
#include <system_error>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "mentor/report/evaluation.h"
#include "mentor/report/figures.h"
#include "mentor/report/gnuplot.h"
#include "mentor/report/page.h"
#include "mentor/report/summary.h"

namespace mentor::report {
namespace {

constexpr char kFilesFolder[] = "report";

absl::Status CheckSignals(const std::vector<SignalSample>& samples) {
  for (size_t i = 0; i < samples.size(); ++i) {
    const SignalSample& sample = samples[i];
    if (sample.signal.size() != sample.shaped.size()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("signal sample %d: %d signals, but %d shaped rewards", i,
                          sample.signal.size(), sample.shaped.size()));
    }
    for (size_t t = 0; t < sample.signal.size(); ++t) {
      if (std::isfinite(sample.signal[t]) && std::isfinite(sample.shaped[t])) continue;
      return absl::InvalidArgumentError(
          absl::StrFormat("signal sample %d, step %d: signal %g, shaped reward %g, expected "
                          "finite numbers",
                          i, t, sample.signal[t], sample.shaped[t]));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTraining(const std::vector<TrainingPoint>& training) {
  for (size_t i = 1; i < training.size(); ++i) {
    if (training[i].outer_update > training[i - 1].outer_update &&
        training[i].env_steps >= training[i - 1].env_steps) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrFormat("training point %d: outer update %d after %d steps follows update %d after "
                        "%d steps; expected rising numbers",
                        i, training[i].outer_update, training[i].env_steps,
                        training[i - 1].outer_update, training[i - 1].env_steps));
  }
  return absl::OkStatus();
}

absl::Status WriteFile(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file)
    return absl::UnavailableError(
        absl::StrFormat("cannot write %s: is the disk full?", path.string()));
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return absl::InternalError(absl::StrFormat("gnuplot left no %s", path.string()));
  return text.str();
}

}  // namespace

absl::StatusOr<ReportFiles> WriteReport(const ReportData& data, const std::filesystem::path& folder,
                                        const ReportOptions& options) {
  MENTOR_RETURN_IF_ERROR(CheckTraining(data.training));
  MENTOR_RETURN_IF_ERROR(CheckSignals(data.signals));
  MENTOR_ASSIGN_OR_RETURN(const std::vector<MethodResult> results,
                          SummariseEvaluation(data.evaluation, data.iterations));
  const std::vector<Comparison> comparisons = CompareWithBaselines(results);
  const std::vector<std::string> summary = Summarise(data, results, comparisons);
  Drawing drawing;
  DrawEvaluation(data.evaluation, results, comparisons, &drawing);
  DrawTraining(data, &drawing);
  DrawSignals(data.signals, &drawing);
  DrawCost(data.training, &drawing);

  const std::filesystem::path files = folder / kFilesFolder;
  std::error_code error;
  std::filesystem::create_directories(files, error);
  if (error)
    return absl::UnavailableError(
        absl::StrFormat("cannot make %s: %s", files.string(), error.message()));
  ReportFiles written;
  written.html = folder / "report.html";
  written.summary = absl::StrJoin(summary, "\n");
  for (const CsvFile& table : drawing.tables) {
    MENTOR_RETURN_IF_ERROR(WriteFile(files / table.name, table.text));
    written.others.push_back(files / table.name);
  }

  PageParts parts{data, summary, results, comparisons, drawing, {}, {}, kFilesFolder};
  absl::Status drawn;  // The first error.
  for (const Figure& figure : drawing.figures) {
    const std::string script = figure.name + ".gp";
    MENTOR_RETURN_IF_ERROR(WriteFile(files / script, Script(figure)));
    written.others.push_back(files / script);
    if (absl::IsFailedPrecondition(drawn))
      continue;  // No gnuplot: the next try would end the same way.
    const absl::Status status = RunGnuplot(options.gnuplot, files, script);
    drawn.Update(status);
    if (!status.ok()) continue;
    MENTOR_ASSIGN_OR_RETURN(parts.svgs[figure.name], ReadFile(files / (figure.name + ".svg")));
    written.others.push_back(files / (figure.name + ".svg"));
    written.others.push_back(files / (figure.name + ".png"));
  }
  if (!drawn.ok()) parts.plot_error = std::string(drawn.message());
  MENTOR_RETURN_IF_ERROR(WriteFile(written.html, MakePage(parts)));
  if (!drawn.ok()) {
    return absl::Status(drawn.code(), absl::StrFormat("%s; the numbers are in %s", drawn.message(),
                                                      files.string()));
  }
  return written;
}

}  // namespace mentor::report
