#include "mentor/report/report.h"

#include <cmath>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "mentor/report/draw_episodes.h"
#include "mentor/report/evaluation.h"
#include "mentor/report/figures.h"
#include "mentor/report/last_episodes.h"
#include "mentor/report/page.h"
#include "mentor/report/summary.h"
#include "mentor/report/write.h"

namespace mentor::report {
namespace {

constexpr char kReportFolder[] = "report";

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

}  // namespace

absl::StatusOr<ReportFiles> WriteReport(const ReportData& data, const std::filesystem::path& folder,
                                        const ReportOptions& options) {
  MENTOR_RETURN_IF_ERROR(CheckTraining(data.training));
  MENTOR_RETURN_IF_ERROR(CheckSignals(data.signals));
  MENTOR_ASSIGN_OR_RETURN(const std::vector<MethodResult> results,
                          SummariseEvaluation(data.evaluation, data.iterations));
  const std::vector<Comparison> comparisons = CompareWithBaselines(results);
  const std::vector<Cohort> cohorts = CohortsOf(data);
  const Outcome outcome = OutcomeOf(data, results, comparisons);
  const Summary summary = Summarise(data, results, comparisons, outcome);
  const std::vector<std::string> beside = LastEpisodesWords(cohorts, options.last_episodes);
  const Table last_episodes = LastEpisodesTable(cohorts, options.last_episodes);
  Drawing drawing;
  const std::vector<EpisodeCurves> episodes = EpisodesOfRun(results, data);
  const std::vector<Table> published = PublishedTables(episodes, options.published);
  DrawEvaluation(data.evaluation, results, comparisons, episodes, options.published, &drawing);
  for (const Table& table : published)
    drawing.tables.push_back({table.name() + ".csv", table.Csv()});
  DrawLastEpisodes(cohorts, options.last_episodes, &drawing);
  if (!last_episodes.empty())
    drawing.tables.push_back({last_episodes.name() + ".csv", last_episodes.Csv()});
  DrawTraining(data, &drawing);
  DrawSignals(data.signals, &drawing);
  DrawMaps(data.maps, data.iterations, &drawing);
  DrawCost(data.training, &drawing);

  const std::filesystem::path files = folder / kReportFolder;
  MENTOR_ASSIGN_OR_RETURN(WrittenDrawing written, WriteDrawing(drawing, files, options.gnuplot));
  std::vector<std::string> words;
  for (const auto* sentences : {&summary.opening, &summary.training, &summary.evaluation, &beside})
    words.insert(words.end(), sentences->begin(), sentences->end());
  ReportFiles report{.html = folder / "report.html",
                     .others = std::move(written.files),
                     .summary = absl::StrJoin(words, "\n"),
                     .next = outcome.next.empty() ? "" : outcome.next[0].command,
                     .warnings = {}};
  AddWarnings({NotShown(episodes, options.published), MissingPictures(written.drawn)},
              &report.warnings);
  const PageParts parts{.data = data,
                        .summary = summary,
                        .results = results,
                        .comparisons = comparisons,
                        .beside = beside,
                        .last_episodes = last_episodes,
                        .published = published,
                        .drawing = drawing,
                        .svgs = std::move(written.svgs),
                        .warnings = report.warnings,
                        .files_folder = kReportFolder,
                        .folder = folder};
  MENTOR_RETURN_IF_ERROR(WriteText(report.html, MakePage(parts)));
  return report;
}

}  // namespace mentor::report
