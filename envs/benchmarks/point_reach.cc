// Benchmark point_reach: a fresh goal for each lifetime; test goals come from the same distribution
// with other numbers.
#include "envs/benchmarks/own_distribution.h"

namespace mentor::envs {
namespace {

const RegisterBenchmark kRegister({
    .name = "point_reach",
    .summary = "point_reach with a fresh goal for each lifetime; options go to the environment.",
    .make =
        [](const v1::BenchmarkSpec& spec, Violations* violations) {
          return MakeOwnDistribution("point_reach", TaskSupply::kDrawnAfresh, spec, violations);
        },
});

}  // namespace
}  // namespace mentor::envs
