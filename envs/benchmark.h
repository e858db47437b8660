// A benchmark: a distribution of tasks with a split into training and test. One file that registers
// a factory.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "common/rng.h"
#include "common/violations.h"
#include "envs/environment.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::envs {

enum class Split { kTrain, kTest };

// The tasks of one environment in a split.
struct TaskSet {
  std::string environment;                 // Also the name under which rewards are normalised.
  std::vector<v1::EnvironmentTask> tasks;  // Fixed list; empty when tasks are drawn afresh.
};

// Immutable once made; threads may share.
class Benchmark {
 public:
  virtual ~Benchmark() = default;
  // Sizes shared by all of its environments.
  virtual const EnvironmentInfo& info() const = 0;
  virtual const std::vector<TaskSet>& Tasks(Split split) const = 0;
  // A fresh task of set `set` (only called when its list is empty). random has purpose kTasks.
  virtual v1::EnvironmentTask Draw(Split split, int set, const RandomStream& random,
                                   uint32_t index) const = 0;
};

struct BenchmarkEntry {
  std::string name;
  std::string summary;
  bool takes_environment = false;  // spec.benchmark.environment is required (ml1) or refused.
  std::function<std::unique_ptr<Benchmark>(const v1::BenchmarkSpec& spec, Violations* violations)>
      make;
};

const std::vector<const BenchmarkEntry*>& Benchmarks();

// Null, with violations under "benchmark.", when the spec does not fit.
std::unique_ptr<Benchmark> MakeBenchmark(const v1::BenchmarkSpec& spec, Violations* violations);

struct RegisterBenchmark {
  explicit RegisterBenchmark(BenchmarkEntry entry);
};

}  // namespace mentor::envs
