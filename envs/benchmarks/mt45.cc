// Benchmark mt45: the training environments and goals of ML45, shown to the agent. Meta-World
// itself has no benchmark of this name; this is what MT10 is to ten environments. No test tasks.
#include "envs/benchmarks/metaworld_benchmark.h"

namespace mentor::envs {
namespace {

const RegisterBenchmark kRegister(MetaWorldEntry(
    "mt45", "The 45 training environments of ML45, 50 goals each, shown; one-hot number.",
    {.train = Ml45Train(), .multi_task = true, .one_hot_by_default = true}));

}  // namespace
}  // namespace mentor::envs
