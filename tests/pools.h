// Pools of threads for rules.
#pragma once

#include <map>

#include "agents/worker_pool.h"

namespace mentor::testing {

// One pool with this many threads for all tests of the program.
inline agents::WorkerPool* Pool(int threads) {
  static std::map<int, agents::WorkerPool> pools;
  return &pools.try_emplace(threads, threads).first->second;
}

}  // namespace mentor::testing
