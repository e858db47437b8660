// The task vectors of Meta-World's benchmarks, for any seed, as metaworld 3.1.1 draws them. Pure;
// threads may share.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "envs/metaworld/task.h"

namespace mentor::envs {

constexpr int kGoalsPerEnvironment = 50;

// One table of a benchmark: the generator runs on from one environment to the next.
class GoalTable {
 public:
  explicit GoalTable(uint32_t seed) : generator_(seed) {}
  // The next environment's 50 vectors.
  std::vector<metaworld::RandVec> Next(const metaworld::RandVecBox& box);

 private:
  double Uniform();
  metaworld::RandVec Draw(const metaworld::RandVecBox& box);

  std::mt19937 generator_;
};

}  // namespace mentor::envs
