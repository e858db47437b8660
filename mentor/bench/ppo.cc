// The inner PPO step against a LibTorch eager loop (docs/performance.md, `ppo`).
#include "mentor/bench/bench.h"
#include "mentor/bench/ppo_rounds.h"

namespace mentor::bench {
namespace {

absl::StatusOr<Figures> RunPpo(const Settings& settings) {
  Figures figures;
  for (const auto& [name, value] : BenchPpo({.rounds = settings.rounds})) {
    const bool is_time = name.ends_with("_ms");
    figures[name] = {value, is_time ? "ms" : "ratio", is_time ? "" : "must 1.0, goal 2.0"};
  }
  return figures;
}

const RegisterBench register_ppo(
    {.name = "ppo",
     .summary = "Optimizer step of stacked agents against an eager loop, one thread",
     .run = RunPpo});

}  // namespace
}  // namespace mentor::bench
