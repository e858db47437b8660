// What lifetimes achieved, by episode: the numbers behind curves, scores and evaluations. Pure
// functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agents/segment.h"

namespace mentor::meta_learner {

struct LifetimeOutcome {
  std::vector<double> episode_success = {};  // 1 where any step of the episode reported success.
  std::vector<double> episode_return = {};   // Sum of shaped rewards.
  std::vector<int> segment_episodes = {};    // Episodes that ended in each segment.
};

// One outcome for each lifetime, from segments that follow each other in time. Only ended episodes
// count, with what they achieved before the first segment.
std::vector<LifetimeOutcome> Outcomes(const std::vector<agents::Segment>& segments);

// Metrics of one round (methods/black_box/README.md#outer-loop): seg0, seg1, ..., shaped_return,
// meta_return, and success_episode_I when all lifetimes have equally many episodes. With several
// environments, each metric also appears as NAME/ENVIRONMENT. An episode belongs to the segment in
// which it ended. Lifetimes without one are left out of that segment's rate.
std::map<std::string, double> RoundMetrics(const std::vector<LifetimeOutcome>& outcomes,
                                           const std::vector<std::string>& environments);

// Score of one lifetime for the choice of the best weights: success rate of its last `episodes`
// episodes + 1e-6 times their mean return.
double LifetimeScore(const LifetimeOutcome& outcome, int episodes);

}  // namespace mentor::meta_learner
