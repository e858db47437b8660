// Exports what a run has learned as files for other programs (docs/signals.md), and reads such
// exports.
//
//   DIR/model.safetensors         the network's weights by name
//   DIR/config.json               all facts needed to use them: network, sizes, inputs, role, how
//                                 agents learn from it, the spec, the result's hash
//   DIR/signal_check.safetensors  the inputs of the network in a lifetime, and its outputs
//   DIR/README.md                 a card for people, with a head for the Hugging Face Hub
//
// The Hub takes such a folder as it is. Earlier exports have other names of the first two files,
// which are still read: signal.safetensors and signal.json.
//
// A discriminator may also become a bundle for wrapper random_reward, which depends on nothing but
// its weights:
//
//   DIR/discriminator.safetensors
//
// The same state gives the same bytes. Functions without state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "cli/local/trained_run.h"
#include "cli/report/success_rates.h"

namespace mentor {

inline constexpr char kSignalConfig[] = "config.json";
inline constexpr char kOldSignalConfig[] = "signal.json";
inline constexpr char kSignalWeights[] = "model.safetensors";
inline constexpr int kSignalFormat = 1;
// The format of signals that see normalised observations, which readers of the first would show raw
// ones.
inline constexpr int kNormalisedSignalFormat = 2;

struct ExportOptions {
  std::filesystem::path out = {};
  std::string name = {};     // Name on the card; empty: the folder's name.
  std::string license = {};  // The weights' license, as the Hub names it; empty: none.
  bool best = false;         // Export the weights with the best score instead of the last ones.
  bool replace = false;      // Overwrite an earlier export.
  bool check = true;         // Simulate a lifetime for signal_check.safetensors.
};

struct ExportedSignal {
  std::vector<std::filesystem::path> files;
  int64_t parameters = 0;
  int64_t check_steps = 0;  // 0: without a check.
  uint64_t bytes = 0;       // Total size of all files.
};

// Returns FAILED_PRECONDITION when the run learns no signal network that other agents could learn
// from, or has learned nothing yet.
absl::Status CheckExports(const TrainedRun& run);
// Fails as CheckExports does, and with ALREADY_EXISTS when the folder exists.
absl::StatusOr<ExportedSignal> ExportSignal(const TrainedRun& run, const ExportOptions& options);
// Writes the bundle. Uses `out`, `best` and `replace`. Fails as ExportSignal does, and with
// FAILED_PRECONDITION when the run's network is no discriminator.
absl::StatusOr<ExportedSignal> ExportDiscriminator(const TrainedRun& run,
                                                   const ExportOptions& options);

// Reads an export for `mentor evaluate` (exported_signal.cc); the result has no run folder.
absl::StatusOr<TrainedRun> ReadExportedSignal(const std::filesystem::path& folder);

// Returns the text of the card (signal_card.cc). `facts` is the content of config.json; `license`
// may be empty.
std::string SignalCard(const std::string& name, const std::string& license,
                       const std::string& facts, const std::vector<report::MethodResult>& results);

}  // namespace mentor
