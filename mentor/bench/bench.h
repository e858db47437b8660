// Speed, measured side by side with its reference in one run: `mentor bench NAME` for one
// measurement, `mentor bench all` for all of them, with other programs beside them
// (docs/performance.md). A measurement is one file that registers itself and measures one round;
// rounds, medians and spread are rounds.h's. Nothing here asserts a time.
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
  // One round, warm-up included, in a process of its own. UNIMPLEMENTED: not with these settings.
  std::function<absl::StatusOr<Figures>(const Settings&)> run;
  // Flags of this measurement alone, of names that no other one has.
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
