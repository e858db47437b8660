// Numbers of docs/performance.md that belong to the signal network and to the outer update, each
// beside its reference of the same run. CPU seconds of the calling thread, the least of some
// interleaved rounds; shapes of ML1 (D = 39, A = 4, full-size network).
#pragma once

#include <map>
#include <string>

namespace mentor::bench {

struct BenchRulesOptions {
  int rounds = 3;
};

// The network along one lifetime of 6000 steps: "run_s15_s", "run_s30_s" (in lock-step with 14 or
// 29 others), "run_s1_s", "plain_s" (LibTorch, one lifetime, step by step), "plain_s15_s"
// (LibTorch, lock-step); "step_s15_us", "step_s30_us" for one step of all lifetimes; "speedup_s15",
// "speedup_s30" over plain_s.
std::map<std::string, double> BenchSignal(const BenchRulesOptions& options = {});

// One epoch of the outer PPO over 30 lifetimes of 4000 steps: "epoch_s" (with loss and optimizer
// steps), "plain_s" (the same in LibTorch, gradients of one piece scaled up), "products_s" (the
// matrix products alone, by LibTorch's BLAS), "gflop"; "speedup" over plain_s and "of_products" =
// products_s / epoch_s.
std::map<std::string, double> BenchOuterPpo(const BenchRulesOptions& options = {});

}  // namespace mentor::bench
