// Whole episodes of a segment: they include what was achieved before the segment. Pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "agents/segment.h"

namespace mentor::learner {

struct EndedEpisode {
  double shaped_return = 0;  // Sum of its shaped rewards.
  int64_t steps = 0;
  bool success = false;  // Any of its steps reported success.
};

// Episodes that ended in the segment, in their order, for each agent. Tensors lie on the CPU. If
// the segment does not say which episodes were open before it, all its episodes begin in it.
std::vector<std::vector<EndedEpisode>> EndedEpisodes(const Segment& segment);

}  // namespace mentor::learner
