// Benchmark mt1: one Meta-World environment, the 50 training goals of ML1, shown to the agent. No
// test tasks.
#include "envs/benchmarks/metaworld_benchmark.h"

namespace mentor::envs {
namespace {

const RegisterBenchmark kRegister(MetaWorldEntry(
    "mt1", "Meta-World MT1: one environment, 50 goals, shown.", {.multi_task = true}));

}  // namespace
}  // namespace mentor::envs
