#include "envs/benchmarks/metaworld_goals.h"

namespace mentor::envs {

// 53 bits of two words, the first word first.
double GoalTable::Uniform() {
  const double high = static_cast<double>(generator_() >> 5);
  const double low = static_cast<double>(generator_() >> 6);
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

metaworld::RandVec GoalTable::Draw(const metaworld::RandVecBox& box) {
  metaworld::RandVec v{.size = box.size};
  do {
    for (int i = 0; i < v.size; ++i)
      v.value[i] = box.low[i] + (box.high[i] - box.low[i]) * Uniform();
  } while (box.refuses(v));
  return v;
}

std::vector<metaworld::RandVec> GoalTable::Next(const metaworld::RandVecBox& box) {
  std::vector<metaworld::RandVec> goals;
  for (int i = 0; i < kGoalsPerEnvironment; ++i) {
    Draw(box);  // For the reset's first pass, which the second overwrites.
    goals.push_back(Draw(box));
  }
  return goals;
}

}  // namespace mentor::envs
