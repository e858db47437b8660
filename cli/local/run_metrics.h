// The metrics of a run at work: metrics.csv in its folder, and the text beside the progress bar.
// Both come from the store, after its commit. So each outer update is in the file exactly once,
// even after a crash. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "cli/report/training_table.h"
#include "meta_learner/store/store.h"

namespace mentor {

class RunMetrics {
 public:
  // Returns the store's points of the outer updates in [step_min, step_max].
  using Points = std::function<absl::StatusOr<std::map<std::string, meta_learner::Series>>(
      uint32_t step_min, uint32_t step_max)>;
  struct Options {
    Points points;
    // For Learned():
    int64_t iterations = 0;     // Inner iterations of a lifetime.
    bool has_success = false;   // Some environment reports success.
    std::filesystem::path csv;  // The CSV file; it is written anew.
  };
  // Writes the points that the store has already.
  static absl::StatusOr<std::unique_ptr<RunMetrics>> Open(Options options);

  // Writes the points that are new in the store.
  absl::Status Update();
  // Returns "last 5 updates: success 45 % (best 48 %), return 12.3 (best 14.1)  ▁▂▃▅▇" in at most
  // `columns` columns; empty before the first update.
  std::string Learned(int columns) const;

 private:
  explicit RunMetrics(Options options);

  // Constant after construction.
  const Options options_;
  const std::string last_seg_;  // Metric name: success rate of the last inner iteration.

  report::MetricSet columns_;  // Columns of the CSV file.
  bool has_csv_ = false;
  uint32_t last_step_ = 0;  // Last step in the CSV file.
  // One value per update that has the metric.
  std::vector<double> success_, return_;
};

}  // namespace mentor
