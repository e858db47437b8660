// Benchmark single: one environment with its own distribution of tasks, a fresh one for each
// lifetime; test tasks come from the same distribution with other numbers. Where the environment's
// tasks have no parameters there is one task, and what differs is the chance of each episode.
#include "envs/benchmarks/task_sets.h"

namespace mentor::envs {
namespace {

std::unique_ptr<Benchmark> MakeSingle(const std::string& environment, const v1::BenchmarkSpec& spec,
                                      Violations* violations) {
  v1::TaskSetSpec set;
  set.set_environment(environment);
  *set.mutable_option() = spec.option();
  const auto made = MakeTaskSet(set, "benchmark", 0, spec, violations);
  if (!made) return nullptr;
  return std::make_unique<Benchmark>(made->info, std::vector{made->tasks},
                                     std::vector{made->tasks});
}

const RegisterBenchmark kSingle({
    .name = "single",
    .summary = "Any one environment with its own distribution of tasks; options go to it.",
    .takes_environment = true,
    .make = [](const v1::BenchmarkSpec& spec,
               Violations* violations) { return MakeSingle(spec.environment(), spec, violations); },
});

// Short names of single with these environments.
RegisterBenchmark Short(const char* environment) {
  return RegisterBenchmark({
      .name = environment,
      .summary = std::string("Benchmark single with environment ") + environment + ".",
      .make = [environment](
                  const v1::BenchmarkSpec& spec,
                  Violations* violations) { return MakeSingle(environment, spec, violations); },
  });
}
const RegisterBenchmark kShort[] = {Short("point_reach"), Short("umbrella_length")};

}  // namespace
}  // namespace mentor::envs
