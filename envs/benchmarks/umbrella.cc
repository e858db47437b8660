// Benchmark umbrella_length: one task, the same for training and test; what differs is the coins of
// each episode.
#include "envs/benchmarks/own_distribution.h"

namespace mentor::envs {
namespace {

const RegisterBenchmark kRegister({
    .name = "umbrella_length",
    .summary = "Umbrella Length of one length; options go to the environment.",
    .make =
        [](const v1::BenchmarkSpec& spec, Violations* violations) {
          return MakeOwnDistribution("umbrella_length", TaskSupply::kOneForAll, spec, violations);
        },
});

}  // namespace
}  // namespace mentor::envs
