// Benchmark mt10: ten Meta-World environments, 50 goals each, shown to the agent. No test tasks.
#include "envs/benchmarks/metaworld_benchmark.h"

namespace mentor::envs {
namespace {

const RegisterBenchmark kRegister(MetaWorldEntry(
    "mt10", "Meta-World MT10: 10 environments, 50 goals each, shown; one-hot number.",
    {.train = {"reach-v3", "push-v3", "pick-place-v3", "door-open-v3", "drawer-open-v3",
               "drawer-close-v3", "button-press-topdown-v3", "peg-insert-side-v3", "window-open-v3",
               "window-close-v3"},
     .multi_task = true,
     .one_hot_by_default = true}));

}  // namespace
}  // namespace mentor::envs
