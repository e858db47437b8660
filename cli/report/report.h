// What is known of a run: the data that its records hold (records.h), and that programs summarise
// in words. Reports are drawn from the records, in Python (python/mentor/report). Every part of the
// data may be missing. Plain data; threads may share.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/metric_info.h"
#include "mentor/v1/evaluation.pb.h"

namespace mentor::report {

// One outer update. ReportData::metrics declares how reports show metrics. They also know these
// names:
//   seg0, seg1, ...     success rate of the episodes of inner iteration 0, 1, ... on training goals
//                       with sampled signals
//   generation iteration success
//                       of rules with decisions inside a lifetime, whose update is one inner
//                       iteration: the agents' generation, their iteration, their success rate
//   shaped_return       mean shaped return of an episode
//   rollout_seconds policy_seconds signal_seconds update_seconds outer_seconds
//                       CPU seconds by phase; policy is a part of rollout, outer is the outer rule
//   wall_seconds        wall time of the whole outer update
//   peak_memory_bytes   greatest memory of the process so far
struct TrainingPoint {
  uint32_t outer_update = 0;  // From 1: updates done after this one.
  uint64_t env_steps = 0;     // Environment steps of meta-training so far, including this update.
  std::map<std::string, double> metrics;
};

// One lifetime of an evaluation.
struct EvaluationRow {
  v1::EvaluationMethod method = v1::EVALUATION_METHOD_UNSPECIFIED;
  std::string split;        // "test" or "train": goals never seen, or goals of meta-training;
                            // otherwise a name of the tasks
  std::string environment;  // Optional; more than one gives a table for each.
  // Index in its phase. Lives of equal index, goal and seed begin with the same agent.
  uint32_t lifetime = 0;
  uint32_t goal = 0;
  bool has_goals = true;  // The environment's tasks differ.
  // Draw of the goals: rows with equal environment, goal_seed and goal had the same goal.
  uint64_t goal_seed = 0;
  size_t meta_seed = 0;  // Index of the run when rows of several runs are combined.
  // Learning episodes come first; the episodes after them are deterministic.
  int lifetime_episodes = 0;
  // Number of episodes that ended in each inner iteration; empty: equally many.
  std::vector<int> segment_episodes = {};
  std::vector<double> episode_success;  // 0 or 1 for each episode
  std::vector<double> episode_return;   // Shaped return for each episode; may be empty.
  uint64_t seed = 0;                    // Seed of the agents' randomness.
};

// The output of the signal network along one lifetime.
struct SignalSample {
  std::vector<double> signal;  // Per step, as the agent used it.
  std::vector<double> shaped;  // The environment's shaped reward for the same steps.
  int episode_steps = 0;       // Steps of each episode; 0: unknown.
  int iterations = 0;          // Inner iterations, all of equal length; 0: unknown.
};

// An image from inside a signal network in one episode, for instance its attention.
struct MapSample {
  std::string name;
  uint32_t lifetime = 0;
  uint32_t iteration = 0;  // Inner iteration of the agent.
  int rows = 0, columns = 0;
  std::vector<double> values;  // [rows * columns]
};

// Facts that a comparison of runs needs beside the numbers.
struct Identity {
  std::string experiment = {};  // Its uid, which copies of a run's folder share. Empty: unknown.
  // Equal for runs whose specs differ only in the meta-seed (seed, goal_seed).
  std::string method;
  // Equal for equal tasks, lifetimes and agents, whose baselines are therefore the same.
  std::string protocol;
  std::string rule;  // Names of registered parts.
  std::string signal;
  // The settings of the spec without defaults, by name as in --set.
  std::map<std::string, std::string> settings;
  uint64_t seed = 0;
  // 0 when the benchmark has no lists of goals, so that the seed has no effect.
  uint32_t goal_seed = 0;
  // The tasks in the benchmark's lists, as texts.
  std::set<std::string> training_goals = {}, test_goals = {};
  std::string state_hash;             // Hash of the newest checkpoint; may be empty.
  uint32_t lifetimes_per_update = 0;  // 0: not known.
  int baseline_iteration_steps = 0;  // Environment steps of an inner iteration of a baseline agent.
  int iteration_steps = 0;           // Environment steps of an inner iteration of a taught agent.
};

struct ReportData {
  std::string title;  // Title of the experiment.
  std::string run =
      {};  // Name of its folder, which tells experiments of one title apart; may be empty.
  // As commands name the run, and the file of its spec. Empty: no command is proposed.
  std::string folder = {}, spec_file = {};
  std::string failure = {};  // Cause of a failure; empty without a failure.
  bool succeeded = false;    // The run and its evaluation are complete.
  bool goes_on = false;      // A process is working on the run.
  std::string spec_hash = {};
  // The run or experiment that this run continues, as people name it; empty: none. Its outer
  // updates are not in `training`.
  std::string origin = {};
  // According to the newest checkpoint; includes updates of the origin.
  uint32_t outer_updates_made = 0;
  std::string damaged_checkpoints = {};  // Defects of newer checkpoints, one per line.
  std::string spec_text;                 // Text format, every default written out.
  // Shown as a table: seed, versions, hash, threads, ...
  std::vector<std::pair<std::string, std::string>> facts;
  // "reward" or "advantage", for texts. Empty: no signal is learned.
  std::string signal_role = "reward";
  bool meta_learns = true;           // False: outer updates only let agents live.
  int iterations = 3;                // Inner iterations of a lifetime: the segments seg0, seg1, ...
  uint32_t outer_updates_total = 0;  // Number that the spec requests.
  uint32_t patience = 0;             // rule.patience, where it ended the run; 0: it did not.
  uint32_t outer_updates_paper = 0;  // Number published for this benchmark; 0: none.
  // Agents begin alike under every teacher, so seg0 shows leaks. False for rules that learn the
  // agents' first policy or its inputs.
  bool seg0_is_control = true;
  bool measures_nothing = false;  // The spec requests neither outer updates nor baselines.
  MetricTable metrics;  // Declarations by the run's parts; undeclared metrics are drawn small.
  std::vector<TrainingPoint> training;
  std::vector<EvaluationRow> evaluation;
  uint32_t evaluated_update = 0;  // Outer updates behind the evaluated weights.
  // Outer updates behind older evaluated weights, whose lifetimes are left out.
  std::set<uint64_t> evaluated_before = {};
  // Agents of meta-training that learned while their signal did, for a rule that decides inside a
  // lifetime. Contains the newest generation with a complete lifetime, or else with the longest.
  // segment_episodes has the iterations lived so far; `method` and `split` are unused.
  std::vector<EvaluationRow> beside = {};
  size_t beside_known = 0;  // Newest episodes kept per agent.
  std::vector<SignalSample> signals;
  std::vector<MapSample> maps;
  Identity identity;
};

}  // namespace mentor::report
