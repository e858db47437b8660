// Episodes of a segment, whole: what an episode achieved before the segment counts. Pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "learner/agents/segment.h"

namespace mentor::learner {

struct EndedEpisode {
  double shaped_return = 0;  // Sum of its shaped rewards.
  int64_t steps = 0;
  bool success = false;  // Any of its steps reported success.
};

// Those that ended in the segment, in their order, for each agent. Of tensors on the CPU. A segment
// that does not say what was open before it begins all its episodes.
std::vector<std::vector<EndedEpisode>> EndedEpisodes(const Segment& segment);

}  // namespace mentor::learner
