// Speed, measured side by side with a reference in one run (docs/performance.md). `mentor bench
// NAME` runs one measurement, `mentor bench all` runs all of them with their peers. A measurement
// is one file that registers itself and measures one round; rounds.h makes rounds, medians and
// spread. Nothing here asserts a time.
#pragma once

#include <functional>
#include <map>
#include <string>

#include <absl/status/statusor.h>

#include "kernels/device.h"

namespace CLI {
class App;
}

namespace mentor::bench {

struct Figure {
  double value = 0;
  std::string unit;       // "ratio", "s", "ms", "steps/s"
  std::string goal = "";  // "must 0.80, goal 0.90"; empty without one.
};
using Figures = std::map<std::string, Figure>;

struct Settings {
  int threads = 1;
  learner::Device device = {};
};

struct BenchEntry {
  std::string name;
  std::string summary;
  // Measures one round, warm-up included, in its own process. UNIMPLEMENTED: not with these
  // settings.
  std::function<absl::StatusOr<Figures>(const Settings&)> run;
  // Adds the flags of this measurement; no other measurement may have flags of these names.
  std::function<void(CLI::App* command)> add_flags = [](CLI::App*) {};
};

struct RegisterBench {
  explicit RegisterBench(BenchEntry entry);
};

// Adds one measurement to a command, under a name of its own.
void AddMeasurement(CLI::App* parent, const std::string& name, const BenchEntry* entry,
                    std::function<int()>* action);
// Adds `bench` to the program; the chosen measurement becomes *action, which returns an exit code.
void AddCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor::bench
