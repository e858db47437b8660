// Benchmark cart_places: eight places for meta-training, eight others for tests. The example of
// docs/adding.md.
#include "envs/benchmark.h"

#include <memory>
#include <vector>

#include "envs/benchmarks/task_sets.h"

namespace mentor::envs {
namespace {

// first, first + 0.1, ... on both sides of 0. A task carries the settings of its environment to the
// actors.
TaskSet Places(double first, const v1::BenchmarkSpec& spec) {
  TaskSet set{.name = "cart", .tasks = {}};
  for (int i = 0; i < 8; ++i) {
    v1::EnvironmentTask& task = set.tasks.emplace_back();
    task.set_environment("cart");
    *task.mutable_options() = spec.option();
    *task.mutable_wrappers() = spec.wrapper();
    task.add_parameters((i % 2 == 0 ? 1 : -1) * (first + 0.1 * (i / 2)));
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
}  // namespace mentor::envs
