// What a run has learned as files that other programs use (docs/signals.md), and back:
//
//   DIR/signal.safetensors        the network's weights by name
//   DIR/signal.json               all that is needed to use them: network, sizes, inputs, role, how
//                                 agents learn from it, the spec, the result's hash
//   DIR/signal_check.safetensors  a lifetime as the network saw it, and what it said
//   DIR/README.md                 a card for people
//
// The same state gives the same bytes. Functions without state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/local/trained_run.h"
#include "mentor/report/evaluation.h"

namespace mentor {

inline constexpr char kSignalJson[] = "signal.json";
inline constexpr int kSignalFormat = 1;

struct ExportOptions {
  std::filesystem::path out = {};
  std::string name = {};  // On the card; empty: that of the folder.
  bool best = false;      // The weights with the best score in place of the last ones.
  bool replace = false;   // Writes over an earlier export.
  bool check = true;      // Lives a lifetime for signal_check.safetensors.
};

struct ExportedSignal {
  std::vector<std::filesystem::path> files;
  int64_t parameters = 0;
  int64_t check_steps = 0;  // 0: without a check.
  uint64_t bytes = 0;       // Of all files.
};

// FAILED_PRECONDITION where the run learns no signal network or has learned nothing yet;
// ALREADY_EXISTS where the folder is there.
absl::StatusOr<ExportedSignal> ExportSignal(const TrainedRun& run, const ExportOptions& options);

// An export as what `mentor evaluate` takes: without the folders of a run.
absl::StatusOr<TrainedRun> ReadExportedSignal(const std::filesystem::path& folder);

// The card. `facts` is signal.json's content.
std::string SignalCard(const std::string& name, const std::string& facts,
                       const std::vector<report::MethodResult>& results);

}  // namespace mentor
