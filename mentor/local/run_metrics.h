// The numbers of a run while it is at work: metrics.csv in its folder, TensorBoard's event file,
// and what people see beside the progress bar. All come from the store, after its commit; so
// whatever killed the process before, each outer update is in each file once. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/event_file.h"
#include "mentor/report/report.h"
#include "mentor/report/training_table.h"
#include "mentor/v1/experiment.pb.h"
#include "meta_learner/store/store.h"

namespace mentor {

class RunMetrics {
 public:
  // What is in the store of steps in [step_min, step_max].
  using Points = std::function<absl::StatusOr<std::map<std::string, meta_learner::Series>>(
      uint32_t step_min, uint32_t step_max)>;
  struct Options {
    Points points;
    v1::Experiment experiment;
    std::filesystem::path csv;  // The file; made anew.
    // Folder of TensorBoard's event file, which is made; empty: none.
    std::filesystem::path tensorboard = {};
  };
  // Takes what the store has already.
  static absl::StatusOr<std::unique_ptr<RunMetrics>> Open(Options options);

  // Takes what the store has got since.
  absl::Status Update();
  // TensorBoard gets what the evaluation at the end says: its numbers, and the curves of lifetimes
  // by episode. What its file has already is left out.
  absl::Status AddEvaluation(const report::ReportData& data);
  // "last 5 updates: success 45 % (best 48 %), return 12.3 (best 14.1)  ▁▂▃▅▇" in at most `columns`
  // columns; empty before the first update.
  std::string Learned(int columns) const;

 private:
  RunMetrics(Options options, bool has_success);

  absl::Status OpenEvents();
  absl::Status AddEvents(const std::vector<report::TrainingPoint>& points);
  // At most one frame, with those that the file has not got.
  std::string Fresh(int64_t step, std::vector<Scalar> scalars);

  // Fixed after construction.
  const Options options_;
  const bool has_success_;      // Some environment reports success.
  const std::string last_seg_;  // Success rate of the last inner iteration.

  report::MetricSet columns_;  // Of the CSV file.
  bool has_csv_ = false;
  uint32_t last_step_ = 0;  // The newest in the CSV file,
  int64_t last_event_ = 0;  // and in the event file.
  std::filesystem::path events_;
  std::set<std::pair<std::string, int64_t>> known_;  // By tag and step: what is of no outer update.
  // One for each update that has it.
  std::vector<double> success_, return_;
};

}  // namespace mentor
