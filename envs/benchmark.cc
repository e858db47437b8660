#include "envs/benchmark.h"

#include "common/check.h"

namespace mentor::envs {

TaskList::TaskList(v1::EnvironmentTask shared) : shared_(std::move(shared)) {
  MENTOR_CHECK(shared_.parameters().empty());
}

void TaskList::Add(std::span<const double> parameters) {
  parameters_.insert(parameters_.end(), parameters.begin(), parameters.end());
  ends_.push_back(parameters_.size());
}

v1::EnvironmentTask TaskList::operator[](size_t index) const {
  MENTOR_CHECK(index < ends_.size());
  v1::EnvironmentTask task = shared_;
  const size_t begin = index == 0 ? 0 : ends_[index - 1];
  task.mutable_parameters()->Add(parameters_.begin() + static_cast<std::ptrdiff_t>(begin),
                                 parameters_.begin() + static_cast<std::ptrdiff_t>(ends_[index]));
  return task;
}

const std::vector<const BenchmarkEntry*>& Benchmarks() {
  static const auto all = Registry<BenchmarkEntry>::Instance().All();
  return all;
}

std::unique_ptr<Benchmark> MakeBenchmark(const v1::BenchmarkSpec& spec, Violations* violations) {
  const Registry<BenchmarkEntry>& registry = Registry<BenchmarkEntry>::Instance();
  const BenchmarkEntry* entry = registry.Find(spec.name());
  if (entry == nullptr) {
    violations->Add("benchmark.name", registry.Unknown("benchmark", spec.name()));
    return nullptr;
  }
  bool fits = true;
  const auto refuse = [&](const std::string& field, const std::string& description) {
    violations->Add(field, description);
    fits = false;
  };
  if (!entry->takes_environment && !spec.environment().empty()) {
    refuse("benchmark.environment", "is '" + spec.environment() + "', but benchmark '" +
                                        entry->name +
                                        "' has its own environments; remove the field");
  }
  if (entry->takes_environment && spec.environment().empty()) {
    refuse("benchmark.environment",
           "is missing; benchmark '" + entry->name + "' needs it, for instance \"reach-v3\"");
  }
  if (!entry->takes_task_sets && !spec.task_set().empty()) {
    refuse("benchmark.task_set",
           "has entries, but benchmark '" + entry->name +
               "' has its own tasks; use benchmark \"custom\", or remove them");
  }
  return fits ? entry->make(spec, violations) : nullptr;
}

}  // namespace mentor::envs
