// Numbers of goals.md that belong to the signal network and the outer update, each beside its reference of the same run.
// CPU seconds of the calling thread; the shapes are those of ML1 (D = 39, A = 4, full-size network).
#pragma once

#include <string>
#include <vector>

namespace mentor::meta_learner {

struct BenchNumber {
  std::string name;  // For instance "signal.run.cpu_seconds_per_lifetime.S15".
  double value = 0;
  std::string unit;
};

struct RuleBenchOptions {
  int rounds = 3;            // The least of so many interleaved rounds is kept.
  bool full_epoch = true;    // False: one piece in place of one epoch, scaled up.
};

// The network along 6000 steps: at S = 15 and 30 in lock-step, one lifetime alone step by step in plain LibTorch.
std::vector<BenchNumber> BenchSignal(const RuleBenchOptions& options);
// One epoch of the outer PPO over 30 lifetimes of 4000 steps, and the same multiplications alone.
std::vector<BenchNumber> BenchOuterPpo(const RuleBenchOptions& options);

}  // namespace mentor::meta_learner
