// Benchmark ml45: 45 Meta-World environments for meta-training, five others for tests, 50 goals
// each, hidden from the agent.
#include "envs/benchmarks/metaworld_benchmark.h"

namespace mentor::envs {
namespace {

const RegisterBenchmark kRegister(MetaWorldEntry(
    "ml45", "Meta-World ML45: 45 training and 5 test environments, 50 goals each, hidden.",
    {.train = Ml45Train(),
     .test = {"bin-picking-v3", "box-close-v3", "hand-insert-v3", "door-lock-v3",
              "door-unlock-v3"}}));

}  // namespace
}  // namespace mentor::envs
