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
  if (!entry->takes_environment && !spec.environment().empty()) {
    violations->Add("benchmark.environment", "is '" + spec.environment() + "', but benchmark '" +
                                                 entry->name +
                                                 "' has its own environment; remove the field");
    return nullptr;
  }
  return entry->make(spec, violations);
}

RegisterBenchmark::RegisterBenchmark(BenchmarkEntry entry) {
  Registry<BenchmarkEntry>::Instance().Add(std::move(entry));
}

}  // namespace mentor::envs
