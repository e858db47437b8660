#include "common/failed_step.h"
#include "common/metric_info.h"

namespace mentor {
namespace {

// A metric without a panel here, since reports show it on a page of its own.
MetricInfo Apart(const char* name, const char* help, const char* unit = "1") {
  return {.name = name, .unit = unit, .help = help, .panel = MetricInfo::Panel::kNone};
}

}  // namespace

const MetricTable& CommonMetrics() {
  static const auto& all = *new MetricTable{
      Apart("seg*",
            "Success rate of the episodes that ended in that inner iteration, from seg0 on; with "
            "/ENVIRONMENT, that of one environment if there are several."),
      Apart("success",
            "For rules with decisions inside a lifetime: success rate of the episodes that ended "
            "in this inner iteration."),
      Apart("success/*",
            "For rules with decisions inside a lifetime: success rate in one environment."),
      Apart("success_episode_*",
            "Success rate of that episode of a lifetime, if all lifetimes have equally many."),
      Apart("generation",
            "For rules with decisions inside a lifetime: number of the agents that live now."),
      Apart("iteration", "Inner iteration of the agents that live now."),
      {.name = "shaped_return",
       .help = "Mean sum of shaped rewards of an episode.",
       .label = "shaped return of an episode",
       .panel = MetricInfo::Panel::kNone},
      Apart("shaped_return/*", "Mean sum of shaped rewards of an episode in one environment."),
      Apart("meta_return",
            "Sum of a lifetime's shaped returns, each weighted 0.9 times the one before."),
      Apart("meta_return/*", "meta_return of the lifetimes in one environment."),
      {.name = "best_score", .help = "Score of the best weights so far."},
      Apart("env_steps", "Environment steps so far."),
      Apart("nonfinite_updates", "Agent updates skipped because a number was not finite."),
      {.name = kFailedStepsMetric,
       .help = "Steps of a lifetime without a result, which ended their episode (failed_step)."},
      Apart("wall_seconds", "Wall time of the outer update, collection included.", "s"),
      Apart("collect_wall_seconds", "Wall time until all shards were there.", "s"),
      Apart("outer_wall_seconds", "Wall time of the outer rule.", "s"),
      Apart("outer_seconds", "CPU time of the outer rule.", "s"),
      Apart("rollout_seconds", "CPU time of actors, their policies included.", "s"),
      Apart("policy_seconds", "CPU time of policies, estimated from samples.", "s"),
      Apart("signal_seconds", "CPU time of the signal network in learners.", "s"),
      Apart("update_seconds", "CPU time of the agents' updates.", "s"),
      Apart("stalled_seconds", "Wall time that shards waited for actors.", "s"),
      Apart("peak_memory_bytes", "Greatest memory of the meta-learner's process so far.", "bytes"),
  };
  return all;
}

}  // namespace mentor
