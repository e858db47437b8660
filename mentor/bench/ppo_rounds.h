// Measures the PPO update beside a straightforward LibTorch eager loop (docs/performance.md,
// `ppo`).
#pragma once

#include <map>
#include <string>

namespace mentor::bench {

struct BenchPpoOptions {
  int rounds = 5;
  int steps = 256;  // Optimizer steps of one measurement.
};

// Thread CPU time of one optimizer step of one agent, medians over interleaved rounds, one thread:
//
// * eager_modules_ms: one agent as a user of LibTorch writes it, with modules, autograd and
//   torch::optim::Adam
// * eager_sS_ms: S agents stacked, the same operations through LibTorch and autograd
// * eager_ms: the least of those, the reference
// * ours_sS_ms: PpoUpdate of S agents, with values, advantages and permutations
// * speedup_sS: eager_ms / ours_sS_ms
std::map<std::string, double> BenchPpo(const BenchPpoOptions& options = {});

}  // namespace mentor::bench
