// Pools of threads for rules.
#pragma once

#include <map>

#include "agents/worker_pool.h"

namespace mentor::testing {

// One pool with this many threads for all tests of the program.
inline learner::WorkerPool* Pool(int threads) {
  static std::map<int, learner::WorkerPool> pools;
  return &pools.try_emplace(threads, threads).first->second;
}

}  // namespace mentor::testing
