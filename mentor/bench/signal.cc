// The signal network along lifetimes, and the outer update's epoch (goals.md, row `signal` and the outer part of `lifetime`).
#include "mentor/bench/bench.h"
#include "meta_learner/rules/bench.h"

namespace mentor::bench {
namespace {

absl::StatusOr<Figures> Run(const Settings& settings) {
  const meta_learner::RuleBenchOptions options{.rounds = settings.rounds};
  Figures figures;
  for (const auto& numbers : {meta_learner::BenchSignal(options), meta_learner::BenchOuterPpo(options)}) {
    for (const meta_learner::BenchNumber& number : numbers) figures[number.name] = {number.value, number.unit, ""};
  }
  return figures;
}

const RegisterBench registration({.name = "signal", .summary = "Signal network along a lifetime, and an epoch of the outer PPO", .run = Run});

}  // namespace
}  // namespace mentor::bench
