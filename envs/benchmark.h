// A benchmark: a distribution of tasks with a split into training and test. One file that registers
// a factory.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "common/registry.h"
#include "common/rng.h"
#include "common/violations.h"
#include "envs/environment.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::envs {

enum class Split { kTrain, kTest };

// Tasks that differ only in their vectors. The common part is kept once, and a task is assembled on
// demand, so a list of many goals costs only their numbers.
class TaskList {
 public:
  TaskList() = default;
  // `shared`: each task, without its parameters.
  explicit TaskList(v1::EnvironmentTask shared);

  void Add(std::span<const double> parameters);

  size_t size() const { return ends_.size(); }
  bool empty() const { return ends_.empty(); }
  // index < size().
  v1::EnvironmentTask operator[](size_t index) const;

  class Iterator {
   public:
    Iterator(const TaskList* list, size_t index) : list_(list), index_(index) {}
    v1::EnvironmentTask operator*() const { return (*list_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator==(const Iterator& other) const = default;

   private:
    const TaskList* list_;
    size_t index_;
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }

 private:
  v1::EnvironmentTask shared_;
  std::vector<double> parameters_;  // One vector after the other.
  std::vector<size_t> ends_;        // End of each vector in parameters_.
};

// The tasks of one environment in a split.
struct TaskSet {
  // Usually the environment's. Rewards are normalised and results are grouped by it.
  std::string name;
  TaskList tasks;  // Fixed list; empty when tasks are drawn afresh:
  // Returns a fresh task, number `index` of the stream. `random` has purpose kTasks. Threads may
  // share it.
  std::function<v1::EnvironmentTask(const RandomStream& random, uint32_t index)> draw = {};
};

// Immutable; threads may share.
class Benchmark {
 public:
  // info: sizes shared by all of its environments. Without test sets there are only training tasks,
  // which evaluations then take.
  Benchmark(EnvironmentInfo info, std::vector<TaskSet> train, std::vector<TaskSet> test)
      : info_(std::move(info)), train_(std::move(train)), test_(std::move(test)) {}

  const EnvironmentInfo& info() const { return info_; }
  const std::vector<TaskSet>& Tasks(Split split) const {
    return split == Split::kTrain ? train_ : test_;
  }

 private:
  const EnvironmentInfo info_;
  const std::vector<TaskSet> train_, test_;
};

struct BenchmarkEntry {
  std::string name;
  std::string summary;
  OptionTable options = {};  // The benchmark's own; `single` takes those of its environment.
  // Fields of the spec that other benchmarks refuse.
  bool takes_environment = false;  // spec.benchmark.environment, required.
  bool takes_task_sets = false;    // spec.benchmark.task_set
  std::function<std::unique_ptr<Benchmark>(const v1::BenchmarkSpec& spec, Violations* violations)>
      make;
};

const std::vector<const BenchmarkEntry*>& Benchmarks();

// Null, with violations under "benchmark.", when the spec does not fit. Loads models where a
// benchmark or a wrapper must look at its environments.
std::unique_ptr<Benchmark> MakeBenchmark(const v1::BenchmarkSpec& spec, Violations* violations);

using RegisterBenchmark = Registration<BenchmarkEntry>;

}  // namespace mentor::envs
