// The report of one run: a self-contained HTML page with charts, and beside it the figures as
// gnuplot draws them (SVG, PNG) and every number as CSV. Reads nothing but its argument; writes
// only below one folder:
//
//   FOLDER/report.html              the page; opens without a network
//   FOLDER/report/*.csv             the numbers: training, evaluation, signals, and each figure's
//   FOLDER/report/*.{gp,svg,png}    one gnuplot script and two pictures for each figure
//
// The same data give the same numbers every time: intervals use keyed random numbers. Every part
// may be missing; the page then says so. Functions without state; threads may share, but not the
// folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "common/metric_info.h"
#include "mentor/report/published.h"
#include "mentor/v1/evaluation.pb.h"

namespace mentor::report {

// One outer update. What the page makes of metrics stands in ReportData::metrics; beside that it
// knows these names:
//   seg0, seg1, ...     success rate of the episodes of inner iteration 0, 1, ... on training goals
//                       with sampled signals
//   generation iteration success
//                       of rules with decisions inside a lifetime, whose update is one inner
//                       iteration: which one of which agents, and their success rate in it
//   shaped_return       mean shaped return of an episode
//   rollout_seconds policy_seconds signal_seconds update_seconds outer_seconds
//                       CPU seconds by phase; policy is a part of rollout, outer is the outer rule
//   wall_seconds        wall time of the whole outer update
//   peak_memory_bytes   greatest memory of the process so far
struct TrainingPoint {
  uint32_t outer_update = 0;  // From 1: updates done after this one.
  uint64_t env_steps = 0;     // Environment steps of meta-training so far, this update's included.
  std::map<std::string, double> metrics;
};

// One lifetime of an evaluation.
struct EvaluationRow {
  v1::EvaluationMethod method = v1::EVALUATION_METHOD_UNSPECIFIED;
  std::string split;        // "test" or "train": goals never seen, or goals of meta-training;
                            // otherwise a name of the tasks
  std::string environment;  // Optional; more than one gives a table for each.
  // Number in its phase. Equal numbers and goals of two methods are compared in pairs.
  uint32_t lifetime = 0;
  uint32_t goal = 0;
  bool has_goals = true;  // The environment's tasks differ.
  // What drew the goals: rows of equal environment, goal_seed and goal had the same one.
  uint64_t goal_seed = 0;
  size_t meta_seed = 0;       // Of the run, where rows of several are taken together.
  int lifetime_episodes = 0;  // The first ones; those after them are deterministic.
  // How many of them ended in each inner iteration; empty: equally many.
  std::vector<int> segment_episodes = {};
  std::vector<double> episode_success;  // 0 or 1 for each episode
  std::vector<double> episode_return;   // Shaped return for each episode; may be empty.
  uint64_t seed = 0;                    // Seed of the agents' randomness.
};

// The signal network along one lifetime.
struct SignalSample {
  std::vector<double> signal;  // For each step, as the agent used it.
  std::vector<double> shaped;  // The environment's shaped reward of the same steps.
  int episode_steps = 0;       // Steps of each episode; 0: unknown.
  int iterations = 0;          // Inner iterations, all of equal length; 0: unknown.
};

// A picture of what a signal network does in one episode, for instance its attention.
struct MapSample {
  std::string name;
  uint32_t lifetime = 0;
  uint32_t iteration = 0;  // In the agent's life.
  int rows = 0, columns = 0;
  std::vector<double> values;  // [rows * columns]
};

// What a comparison of runs must know beside the numbers.
struct Identity {
  std::string experiment = {};  // Its uid: copies of a run's folder share it. Empty: not known.
  // Equal for runs of one spec that differ in their meta-seed only, (seed, goal_seed).
  std::string method;
  std::string protocol;  // Equal where tasks, lifetimes and agents are: baselines are the same.
  std::string rule;      // Names of registered parts.
  std::string signal;
  // What the spec sets, by name as in --set; no defaults.
  std::map<std::string, std::string> settings;
  uint64_t seed = 0;
  uint32_t goal_seed = 0;  // 0 where its benchmark has no lists of goals: it decides nothing there.
  // The tasks in those lists, as texts.
  std::set<std::string> training_goals = {}, test_goals = {};
  std::string state_hash;             // Hash of the newest checkpoint; may be empty.
  uint32_t lifetimes_per_update = 0;  // 0: not known.
  int baseline_iteration_steps = 0;   // Environment steps of an inner iteration of one agent,
  int iteration_steps = 0;            // and of one that the rule teaches.
};

struct ReportData {
  std::string title;  // The experiment's.
  std::string run =
      {};  // What tells it from others of that title: its folder's name; may be empty.
  std::string failure = {};  // Why it failed; empty: it did not.
  bool succeeded = false;    // It ended, evaluation included.
  bool goes_on = false;      // A process is at work on it.
  std::string spec_hash = {};
  // What it went on from, as people name it: a run's folder, an experiment; empty: nothing. Its
  // outer updates are not among those of `training`.
  std::string origin = {};
  uint32_t outer_updates_made = 0;       // By the newest checkpoint, those of its origin included.
  std::string damaged_checkpoints = {};  // What is wrong with newer ones, a line each.
  std::string spec_text;                 // Text format, every default written out.
  // Shown as a table: seed, versions, hash, threads, ...
  std::vector<std::pair<std::string, std::string>> facts;
  std::string date = {};  // When the report is made, as people read it; may be empty.
  // Films of agents (.gif, .mp4), shown in the page, which links to them.
  std::vector<std::filesystem::path> films = {};
  // "reward" or "advantage"; a word for the text. Empty: no signal is learned.
  std::string signal_role = "reward";
  int iterations = 3;                // Inner iterations of a lifetime: the segments seg0, seg1, ...
  uint32_t outer_updates_total = 0;  // That the spec asks for.
  uint32_t outer_updates_paper = 0;  // Published for this benchmark; 0: nothing is.
  // Agents begin alike whoever teaches them, so seg0 shows leaks. Not so where a rule learns the
  // agents' first policy or what it sees.
  bool seg0_is_control = true;
  bool measures_nothing = false;  // The spec asks neither for outer updates nor for baselines.
  MetricTable metrics;            // What the run's parts say of them; others are drawn small.
  std::vector<TrainingPoint> training;
  std::vector<EvaluationRow> evaluation;
  uint32_t evaluated_update = 0;  // Outer updates behind the weights that were evaluated,
  std::set<uint64_t> evaluated_before = {};  // and behind older ones, whose lifetimes are left out.
  // Agents of meta-training that learned while their signal did, of a rule that decides inside a
  // lifetime: the newest that had their whole life, or as much of it as any. segment_episodes has
  // the iterations that they lived, `method` and `split` say nothing.
  std::vector<EvaluationRow> beside = {};
  size_t beside_known = 0;  // Of an agent, the newest episodes that are kept.
  std::vector<SignalSample> signals;
  std::vector<MapSample> maps;
  Identity identity;
};

struct ReportOptions {
  Published published = {};                   // Drawn beside the run's curves.
  std::filesystem::path gnuplot = "gnuplot";  // Looked up on PATH when it has no slash.
  int last_episodes = 100;  // Of agents that learned beside their signal (last_episodes.h).
};

struct ReportFiles {
  std::filesystem::path html;
  std::vector<std::filesystem::path> others;
  std::string summary;  // The page's first words: plain text, a line for each statement.
  // What to know before the page is believed. Also which published curves are not shown, and why
  // there are no SVG and PNG files to download, as without gnuplot; the page's charts are whole all
  // the same.
  std::vector<std::string> warnings = {};
};

// INVALID_ARGUMENT names the row that does not fit. UNAVAILABLE when a file cannot be written.
absl::StatusOr<ReportFiles> WriteReport(const ReportData& data, const std::filesystem::path& folder,
                                        const ReportOptions& options = {});

}  // namespace mentor::report
