// Benchmark ml10: ten Meta-World environments for meta-training, five others for tests, 50 goals
// each, hidden from the agent.
#include "envs/benchmarks/metaworld_benchmark.h"

namespace mentor::envs {
namespace {

const RegisterBenchmark kRegister(MetaWorldEntry(
    "ml10", "Meta-World ML10: 10 training and 5 test environments, 50 goals each, hidden.",
    {.train = {"reach-v3", "push-v3", "pick-place-v3", "door-open-v3", "drawer-close-v3",
               "button-press-topdown-v3", "peg-insert-side-v3", "window-open-v3", "sweep-v3",
               "basketball-v3"},
     .test = {"drawer-open-v3", "door-close-v3", "shelf-place-v3", "sweep-into-v3",
              "lever-pull-v3"}}));

}  // namespace
}  // namespace mentor::envs
