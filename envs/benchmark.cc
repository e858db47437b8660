#include "envs/benchmark.h"

#include "common/registry.h"

namespace mentor::envs {

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

RegisterBenchmark::RegisterBenchmark(BenchmarkEntry entry) {
  Registry<BenchmarkEntry>::Instance().Add(std::move(entry));
}

}  // namespace mentor::envs
