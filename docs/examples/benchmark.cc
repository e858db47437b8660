// Benchmark cart_places: eight places for meta-training, eight others for tests. The example of
// docs/adding.md.
#include "envs/benchmark.h"

#include <memory>
#include <vector>

#include "envs/benchmarks/task_sets.h"

namespace mentor::envs::example_benchmark {
namespace {

// first, first + 0.1, ... on both sides of 0. A task carries the settings of its environment to the
// actors; the list keeps them once.
TaskSet Places(double first, const v1::BenchmarkSpec& spec) {
  v1::EnvironmentTask shared;
  shared.set_environment("cart");
  *shared.mutable_options() = spec.option();
  *shared.mutable_wrappers() = spec.wrapper();
  TaskSet set{.name = "cart", .tasks = TaskList(shared)};
  for (int i = 0; i < 8; ++i) {
    const double place[] = {(i % 2 == 0 ? 1 : -1) * (first + 0.1 * (i / 2))};
    set.tasks.Add(place);
  }
  return set;
}

const RegisterBenchmark kRegister({
    .name = "cart_places",
    .summary = "cart with eight places for meta-training and eight others for tests.",
    .make = [](const v1::BenchmarkSpec& spec,
               Violations* violations) -> std::unique_ptr<Benchmark> {
      v1::TaskSetSpec set;
      set.set_environment("cart");
      *set.mutable_option() = spec.option();
      const auto cart = MakeEnvironmentOf(set, "benchmark", spec, violations);
      if (cart == nullptr) return nullptr;
      return std::make_unique<Benchmark>(cart->info(), std::vector{Places(0.1, spec)},
                                         std::vector{Places(0.15, spec)});
    },
});

}  // namespace
}  // namespace mentor::envs::example_benchmark
