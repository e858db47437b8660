// Measures the PPO update beside a straightforward LibTorch eager loop (goals.md, row `ppo`).
#pragma once

#include <map>
#include <string>

namespace mentor::learner {

struct BenchPpoOptions {
  int rounds = 5;
  int steps = 256;  // Optimizer steps of one measurement.
};

// Thread CPU time, medians over interleaved rounds: "eager_ms" of one optimizer step of one agent, "ours_s1_ms",
// "ours_s5_ms", ... of one agent's step in a stack of that size, and "speedup_s1", ... = eager / ours.
std::map<std::string, double> BenchPpo(const BenchPpoOptions& options = {});

}  // namespace mentor::learner
