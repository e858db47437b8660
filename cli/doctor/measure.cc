#include "cli/doctor/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_format.h>

#include "cli/doctor/findings.h"
#include "cli/doctor/random_agents.h"
#include "cli/local/cluster.h"
#include "cli/local/evaluation_jobs.h"
#include "cli/local/run_report.h"
#include "cli/report/success_rates.h"
#include "common/check.h"
#include "common/lifecycle.h"
#include "common/metrics.h"
#include "common/protocol.h"
#include "common/temporary_folder.h"
#include "envs/benchmark.h"
#include "meta_learner/experiment/evaluation.h"

namespace mentor::doctor {
namespace {

constexpr uint64_t kRandomSteps = 20'000, kRandomPart = 20;
constexpr uint32_t kLongerTimes[] = {4, 16};
constexpr uint32_t kIterationsMax = 1000;  // The spec's bound.
constexpr int kLifetimesMin = 4, kLifetimesMax = 128, kLongLifetimesMax = 32;
constexpr int kGroupMin = 5;  // Episodes that a mean needs.

struct Mean {
  double sum = 0, squares = 0;
  int count = 0;
  void Add(double x) {
    sum += x;
    squares += x * x;
    ++count;
  }
  double mean() const { return count > 0 ? sum / count : 0; }
  double variance() const {
    return count < 2 ? 0 : std::max(0.0, (squares - sum * sum / count) / (count - 1));
  }
  double deviation() const { return std::sqrt(variance()); }
  // Squared standard error of the mean.
  double error2() const { return count > 0 ? variance() / count : 0; }
};

// The change from the first part of a lifetime to the last one, as reports have it.
absl::StatusOr<Change> ChangeOf(const std::vector<report::EvaluationRow>& rows, int iterations,
                                report::Quantity quantity) {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<report::MethodResult> results,
                          report::SummariseEvaluation(rows, iterations, quantity));
  if (results.empty()) return Change{};
  const report::MethodResult& all = results[0];  // Over all environments.
  Mean newborn;
  for (const double rate : all.first_rates) newborn.Add(rate);
  return Change{.first = all.segments.front().mean,
                .last = all.segments.back().mean,
                .change = all.growth,
                .least = quantity == report::Quantity::kSuccess
                             ? kLeastOfSuccess
                             : kLeastOfDeviation * newborn.deviation()};
}

absl::StatusOr<Learning> LearningOf(const std::vector<v1::EvaluationShard>& shards,
                                    const envs::Benchmark& benchmark, uint32_t iterations) {
  Learning learning{.iterations = iterations};
  Mean succeeded, failed, all;
  std::vector<report::EvaluationRow> rows;
  for (const v1::EvaluationShard& shard : shards) {
    for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes()) {
      report::EvaluationRow row = RowOf(shard, lifetime, &benchmark, /*goal_seed=*/0);
      // Deterministic episodes after the lifetime say nothing about learning.
      row.episode_success.resize(row.lifetime_episodes);
      row.episode_return.resize(row.lifetime_episodes);
      if (row.lifetime_episodes < 2) continue;
      ++learning.lifetimes;
      learning.episodes += row.lifetime_episodes;
      for (int i = 0; i < row.lifetime_episodes; ++i) {
        const bool success = row.episode_success[i] > 0;
        learning.successes += success;
        (success ? succeeded : failed).Add(row.episode_return[i]);
        all.Add(row.episode_return[i]);
      }
      rows.push_back(std::move(row));
    }
  }
  const int parts = static_cast<int>(iterations);
  MENTOR_ASSIGN_OR_RETURN(learning.success, ChangeOf(rows, parts, report::Quantity::kSuccess));
  MENTOR_ASSIGN_OR_RETURN(learning.returns, ChangeOf(rows, parts, report::Quantity::kReturn));
  if (succeeded.count >= kGroupMin && failed.count >= kGroupMin) {
    learning.returns_by_success = {succeeded.mean(), failed.mean(),
                                   std::sqrt(succeeded.error2() + failed.error2()),
                                   all.deviation()};
  }
  return learning;
}

// The agents of PPO that a spec describes, in lifetimes of any length.
class Agents {
 public:
  Agents(const MeasureOptions& options, const envs::Benchmark& benchmark, Cluster* cluster)
      : options_(options), benchmark_(benchmark), cluster_(cluster) {}

  absl::StatusOr<Learning> Measure(v1::Baseline reward, uint32_t iterations, int lifetimes,
                                   bool normalize) {
    MENTOR_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Create("mentor-doctor"));
    v1::ExperimentSpec spec = options_.checked.spec;
    spec.mutable_lifetime()->set_iterations(iterations);
    if (normalize) spec.mutable_agent()->set_normalize_observations(true);
    v1::EvaluationSpec& evaluation = *spec.mutable_evaluation();
    evaluation.clear_baseline();
    evaluation.add_baseline(reward);
    const int sets = static_cast<int>(benchmark_.Tasks(envs::Split::kTrain).size());
    const int each = std::max(1, lifetimes / sets);
    int goals = each;
    for (const envs::TaskSet& set : benchmark_.Tasks(envs::Split::kTrain)) {
      if (!set.tasks.empty()) goals = std::min<int>(goals, static_cast<int>(set.tasks.size()));
    }
    evaluation.set_goals(goals);
    evaluation.set_lifetimes_per_goal(std::max(1, each / goals));
    const std::string name = "doctor";
    const std::vector<meta_learner::Teacher> teachers =
        meta_learner::Teachers(evaluation, {}, /*learned=*/false, /*baselines=*/true);
    std::vector<meta_learner::EvaluationJob> jobs;
    jobs.push_back({.owner = {name, spec, benchmark_},
                    .teacher = teachers[0],
                    .split = envs::Split::kTrain,
                    .folder = folder.path()});
    MENTOR_ASSIGN_OR_RETURN(
        const bool stopped,
        RunEvaluationJobs(
            jobs,
            absl::StrFormat("PPO%s on %s, %d iterations", normalize ? " that normalises" : "",
                            reward == v1::PPO_SHAPED ? "the shaped reward" : "success alone",
                            iterations),
            options_.quiet, cluster_));
    if (stopped) return absl::CancelledError("stopped; nothing is kept");
    MENTOR_ASSIGN_OR_RETURN(const auto shards, meta_learner::ReadShards(folder.path()));
    return LearningOf(shards, benchmark_, iterations);
  }

 private:
  const MeasureOptions& options_;
  const envs::Benchmark& benchmark_;
  Cluster* const cluster_;
};

Measured FactsOf(const meta_learner::CheckedSpec& checked, const envs::Benchmark& benchmark) {
  const v1::ExperimentSpec& spec = checked.spec;
  Measured measured{.iterations = spec.lifetime().iterations(),
                    .steps_per_iteration = spec.lifetime().steps_per_iteration(),
                    .minibatches = spec.agent().minibatches(),
                    .episode_steps = benchmark.info().episode_steps,
                    .agent_normalizes = spec.agent().normalize_observations(),
                    .sees_ahead = spec.agent().gamma() > 0,
                    .warnings = checked.warnings};
  measured.inner_updates = checked.needs.inner_updates;
  measured.task_rewards = checked.needs.task_rewards;
  for (const v1::Option& option : spec.rule().option())
    measured.success_alone |= option.name() == "objective" && option.value() == "success";
  measured.reports_success =
      std::ranges::any_of(benchmark.Tasks(envs::Split::kTrain), [](const envs::TaskSet& set) {
        return envs::MaySucceed(set.tasks.empty() ? set.draw({.purpose = Purpose::kTasks}, 0)
                                                  : set.tasks[0]);
      });
  return measured;
}

int Lifetimes(uint64_t steps, uint64_t lifetime_steps, int most) {
  return static_cast<int>(
      std::clamp<uint64_t>(steps / std::max<uint64_t>(1, lifetime_steps), kLifetimesMin, most));
}

// What needs agents. Stops where a later measurement would say nothing new.
absl::Status MeasureAgents(const MeasureOptions& options, const envs::Benchmark& benchmark,
                           Measured* measured) {
  const Plan plan = PlanOf(options.checked.spec, options.steps);
  auto metrics = Metrics::Create({.build_info = {{"version", std::string(kBuildVersion)}}});
  Cluster cluster({.threads = options.threads, .device = options.device},
                  /*store=*/nullptr, metrics.get());
  MENTOR_RETURN_IF_ERROR(cluster.Start());
  Agents agents(options, benchmark, &cluster);
  const auto of_the_spec = [&](v1::Baseline reward, bool normalize) {
    return agents.Measure(reward, measured->iterations, plan.lifetimes, normalize);
  };
  if (measured->reports_success) {
    MENTOR_ASSIGN_OR_RETURN(measured->sparse, of_the_spec(v1::PPO_SPARSE, false));
  }
  MENTOR_ASSIGN_OR_RETURN(measured->shaped, of_the_spec(v1::PPO_SHAPED, false));
  if (UnlikeScales(measured->random) && !measured->agent_normalizes) {
    MENTOR_ASSIGN_OR_RETURN(measured->normalized, of_the_spec(v1::PPO_SHAPED, true));
    if (Learns(*measured->normalized, measured->reports_success)) return absl::OkStatus();
  }
  for (const Plan::Longer& longer : plan.longer) {
    const Learning& last = measured->longer.empty() ? *measured->shaped : measured->longer.back();
    if (Learns(last, measured->reports_success)) break;
    MENTOR_ASSIGN_OR_RETURN(Learning learning, agents.Measure(v1::PPO_SHAPED, longer.iterations,
                                                              longer.lifetimes, false));
    measured->longer.push_back(std::move(learning));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t Plan::steps() const {
  uint64_t sum = 3 * lifetimes * lifetime_steps;
  for (const Longer& one : longer) sum += one.lifetimes * one.iterations * iteration_steps;
  return sum;
}

Plan PlanOf(const v1::ExperimentSpec& spec, uint64_t steps) {
  const uint32_t iterations = spec.lifetime().iterations();
  const uint64_t iteration = spec.lifetime().steps_per_iteration();
  Plan plan{.iteration_steps = iteration, .lifetime_steps = iterations * iteration};
  plan.lifetimes = Lifetimes(steps / 5, plan.lifetime_steps, kLifetimesMax);
  for (const uint32_t times : kLongerTimes) {
    const uint64_t longer = std::min<uint64_t>(uint64_t{times} * iterations, kIterationsMax);
    if (longer <= iterations || longer * iteration * kLifetimesMin > steps) continue;
    plan.longer.push_back({static_cast<uint32_t>(longer),
                           Lifetimes(steps / 5, longer * iteration, kLongLifetimesMax)});
  }
  return plan;
}

absl::StatusOr<Measured> Measure(const MeasureOptions& options) {
  Violations violations;
  const auto benchmark = envs::MakeBenchmark(options.checked.spec.benchmark(), &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());
  Measured measured = FactsOf(options.checked, *benchmark);
  bool stopped = false;
  measured.random = MeasureRandomAgents(
      *benchmark, options.checked.spec.agent().initial_std(),
      static_cast<int>(std::min(kRandomSteps, options.steps / kRandomPart)), [&] {
        stopped |= WaitForStopSignal(std::chrono::milliseconds(0)) != 0;
        return !stopped;
      });
  if (stopped) return absl::CancelledError("stopped; nothing is kept");
  if (!measured.random.error.empty() || measured.iterations < 2) return measured;
  const absl::Status status = MeasureAgents(options, *benchmark, &measured);
  // The actor says so of such actions (actor/unit_runner.cc).
  measured.diverged = absl::StrContains(status.message(), "a number that is not finite");
  if (!status.ok() && !measured.diverged) return status;
  return measured;
}

}  // namespace mentor::doctor
