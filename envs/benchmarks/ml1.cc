// Benchmark ml1: one Meta-World environment, 50 training goals of generator goal_seed, 50 test
// goals of goal_seed + 1, hidden from the agent.
#include "envs/benchmarks/metaworld_benchmark.h"

namespace mentor::envs {
namespace {

const RegisterBenchmark kRegister(
    MetaWorldEntry("ml1", "Meta-World ML1: one environment, 50 training and 50 test goals, hidden.",
                   {.test_seed_offset = 1}));

}  // namespace
}  // namespace mentor::envs
