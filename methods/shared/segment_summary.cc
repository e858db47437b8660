#include "methods/shared/segment_summary.h"

#include <string>
#include <vector>

#include "agents/segment.h"

namespace mentor::learner {

void ReportSegment(const Segment& segment, LoopReport* report) {
  std::vector<double> returns, lengths;
  for (const auto& episodes : EndedEpisodes(segment)) {
    for (const EndedEpisode& episode : episodes) {
      returns.push_back(episode.shaped_return);
      lengths.push_back(static_cast<double>(episode.steps));
    }
  }
  const auto describe = [&](const std::string& name, const torch::Tensor& x) {
    if (x.numel() == 0) return;
    report->statistics[name + "_mean"] = x.mean().item<double>();
    report->statistics[name + "_sd"] = x.std(/*unbiased=*/false).item<double>();
  };
  describe("signal", segment.signals.to(torch::kFloat64));
  describe("episode_return", torch::tensor(returns, torch::kFloat64));
  describe("episode_length", torch::tensor(lengths, torch::kFloat64));
}

MetricTable SegmentMetrics() {
  return {
      {.name = "signal_mean", .help = "Mean of the signals."},
      {.name = "signal_sd", .help = "Standard deviation of the signals."},
      {.name = "episode_return_mean",
       .help = "Mean shaped return of the episodes that ended in this inner iteration."},
      {.name = "episode_return_sd",
       .help = "Standard deviation of the shaped return of the episodes that ended in this inner "
               "iteration."},
      {.name = "episode_length_mean",
       .help = "Mean length of the episodes that ended in this inner iteration, in steps."},
      {.name = "episode_length_sd",
       .help = "Standard deviation of the length of the episodes that ended in this inner "
               "iteration."},
  };
}

}  // namespace mentor::learner
