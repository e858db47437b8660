// What lifetimes achieved, by episode: the numbers behind curves, scores and evaluations. Pure
// functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "learner/agents/segment.h"

namespace mentor::meta_learner {

struct LifetimeOutcome {
  std::vector<double> episode_success = {};  // 1 where any step of the episode reported success.
  std::vector<double> episode_return = {};   // Sum of shaped rewards.
  std::vector<int> segment_episodes = {};    // How many of them ended in each segment.
};

// One outcome for each lifetime; only episodes that ended are counted, with what they achieved
// before the first of the segments, which follow each other in time.
std::vector<LifetimeOutcome> Outcomes(const std::vector<learner::Segment>& segments);

// Metrics of one round (docs/algorithms/black_box.md#outer-loop): seg0, seg1, ..., shaped_return,
// meta_return, success_episode_I when all lifetimes have equally many episodes, and the same by
// environment as NAME/ENVIRONMENT when there are several. An episode belongs to the segment in
// which it ended; lifetimes without one have no part in that segment's rate.
std::map<std::string, double> RoundMetrics(const std::vector<LifetimeOutcome>& outcomes,
                                           const std::vector<std::string>& environments);

// Score of one lifetime for keeping the best weights: success rate of its last `episodes` episodes
// + 1e-6 times their mean return.
double LifetimeScore(const LifetimeOutcome& outcome, int episodes);

}  // namespace mentor::meta_learner
