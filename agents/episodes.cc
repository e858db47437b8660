#include "agents/episodes.h"

namespace mentor::learner {

std::vector<std::vector<EndedEpisode>> EndedEpisodes(const Segment& segment) {
  const auto rewards = segment.shaped_rewards.accessor<double, 2>();
  const auto successes = segment.successes.accessor<float, 2>();
  const auto prev_done = segment.prev_done.accessor<float, 2>();
  const auto last_done = segment.last_done.accessor<float, 1>();
  std::vector<std::vector<EndedEpisode>> all(rewards.size(0));
  for (int64_t s = 0; s < rewards.size(0); ++s) {
    EndedEpisode open;
    if (segment.open_steps.defined()) {
      open = {.shaped_return = segment.open_returns.const_data_ptr<double>()[s],
              .steps = static_cast<int64_t>(segment.open_steps.const_data_ptr<float>()[s]),
              .success = segment.open_successes.const_data_ptr<float>()[s] != 0};
    }
    const auto end = [&] {
      all[s].push_back(open);
      open = {};
    };
    for (int64_t t = 0; t < rewards.size(1); ++t) {
      // An episode that ended before the first step belongs to the segment before.
      if (prev_done[s][t] != 0 && t > 0) end();
      open.shaped_return += rewards[s][t];
      ++open.steps;
      open.success |= successes[s][t] != 0;
    }
    if (last_done[s] != 0) end();
  }
  return all;
}

}  // namespace mentor::learner
