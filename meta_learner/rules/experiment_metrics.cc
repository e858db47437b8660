#include "meta_learner/rules/experiment_metrics.h"

#include "common/check.h"
#include "common/registry.h"
#include "learner/inner_loops/inner_loop.h"
#include "meta_learner/rules/outer_rule.h"

namespace mentor::meta_learner {

// Reports have pages of their own for what is drawn nowhere here.
const MetricTable& CommonMetrics() {
  constexpr auto kNone = MetricInfo::Panel::kNone;
  static const auto& all = *new MetricTable{
      {.name = "seg*",
       .help = "Success rate of the episodes that ended in that inner iteration, from seg0 on; "
               "with /ENVIRONMENT of one environment, where there are several.",
       .panel = kNone},
      {.name = "success",
       .help = "Of rules with decisions inside a lifetime: success rate of the episodes that ended "
               "in this inner iteration.",
       .panel = kNone},
      {.name = "success/*",
       .help = "Of rules with decisions inside a lifetime: success rate in one environment.",
       .panel = kNone},
      {.name = "success_episode_*",
       .help = "Success rate of that episode of a lifetime, where all have equally many.",
       .panel = kNone},
      {.name = "generation",
       .help = "Of rules with decisions inside a lifetime: number of the agents that live now.",
       .panel = kNone},
      {.name = "iteration", .help = "Inner iteration of the agents that live now.", .panel = kNone},
      {.name = "shaped_return",
       .help = "Mean sum of shaped rewards of an episode.",
       .label = "shaped return of an episode",
       .panel = kNone},
      {.name = "shaped_return/*",
       .help = "Mean sum of shaped rewards of an episode in one environment.",
       .panel = kNone},
      {.name = "meta_return",
       .help = "Sum of a lifetime's shaped returns, each 0.9 times the weight of the one before.",
       .panel = kNone},
      {.name = "meta_return/*",
       .help = "meta_return of the lifetimes in one environment.",
       .panel = kNone},
      {.name = "best_score", .help = "Score of the best weights so far."},
      {.name = "env_steps", .help = "Environment steps so far.", .panel = kNone},
      {.name = "nonfinite_updates",
       .help = "Agent updates skipped because a number was not finite.",
       .panel = kNone},
      {.name = "wall_seconds",
       .unit = "s",
       .help = "Wall time of the outer update, collection included.",
       .panel = kNone},
      {.name = "collect_wall_seconds",
       .unit = "s",
       .help = "Wall time until all shards were there.",
       .panel = kNone},
      {.name = "outer_wall_seconds",
       .unit = "s",
       .help = "Wall time of the outer rule.",
       .panel = kNone},
      {.name = "outer_seconds", .unit = "s", .help = "CPU time of the outer rule.", .panel = kNone},
      {.name = "rollout_seconds",
       .unit = "s",
       .help = "CPU time of actors, their policies included.",
       .panel = kNone},
      {.name = "policy_seconds",
       .unit = "s",
       .help = "CPU time of policies, estimated from samples.",
       .panel = kNone},
      {.name = "signal_seconds",
       .unit = "s",
       .help = "CPU time of the signal network in learners.",
       .panel = kNone},
      {.name = "update_seconds",
       .unit = "s",
       .help = "CPU time of the agents' updates.",
       .panel = kNone},
      {.name = "stalled_seconds",
       .unit = "s",
       .help = "Wall time that shards waited for actors.",
       .panel = kNone},
      {.name = "peak_memory_bytes",
       .unit = "bytes",
       .help = "Greatest memory that the meta-learner's process has held.",
       .panel = kNone},
  };
  return all;
}

MetricTable AllMetrics(const RuleEntry& entry) {
  const learner::InnerLoopEntry* loop = learner::FindInnerLoop(entry.inner_loop);
  MENTOR_CHECK(loop != nullptr);
  MetricTable all = CommonMetrics();
  all.insert(all.end(), entry.metrics.begin(), entry.metrics.end());
  all.insert(all.end(), loop->metrics.begin(), loop->metrics.end());
  return all;
}

MetricTable AllMetrics(std::string_view rule) {
  const RuleEntry* entry = Registry<RuleEntry>::Instance().Find(rule);
  return entry == nullptr ? CommonMetrics() : AllMetrics(*entry);
}

}  // namespace mentor::meta_learner
