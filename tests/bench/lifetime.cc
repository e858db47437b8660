// One outer update of ML1 at paper scale through the whole system, CPU seconds by phase.
#include <map>
#include <string>
#include <thread>

#include <sys/resource.h>

#include "cli/local/cluster.h"
#include "common/check.h"
#include "common/metrics.h"
#include "common/resources/states.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/temporary_folder.h"
#include "meta_learner/store/store.h"
#include "tests/bench/bench.h"
#include "tests/bench/workload.h"

namespace mentor::bench {
namespace {

constexpr char kSpec[] = R"(
  benchmark { name: "ml1" environment: "door-close-v3" }
  rule { outer_updates: 2 lifetimes_per_update: 30 }
  evaluation { lifetimes_per_goal: 0 }
)";

double ProcessCpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Adds the seconds of one thread at its peak for each phase's matrix products: a lower bound for
// every program with these products.
void AddFloors(double outer_epochs, Figures* figures) {
  constexpr double kPpoEpochs = 64;
  constexpr double kOptimizerStepsOfAll =
      static_cast<double>(kLifetimes * (kIterations - 1) * kMinibatches) * kPpoEpochs;
  const double peak = FmaPeak();
  const std::map<std::string, double> flop = {
      {"update", kOptimizerStepsOfAll * PpoStepFlop()},
      {"signal", SignalFlop(kLifetimes * kIterations * kSteps, /*backward=*/false)},
      {"outer", outer_epochs * SignalFlop(kLifetimes * kTrainedSteps, /*backward=*/true)}};
  (*figures)["fma_peak"] = {1e-9 * peak, "GFLOP/s"};
  for (const auto& [phase, operations] : flop) {
    (*figures)["floor_" + phase] = {operations / peak, "s"};
    (*figures)[phase + "_over_floor"] = {(*figures)["cpu_" + phase].value * peak / operations,
                                         "ratio"};
  }
}

}  // namespace

absl::StatusOr<Figures> MeasureLifetime(const Settings& settings) {
  MENTOR_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Create("mentor-bench"));

  MENTOR_ASSIGN_OR_RETURN(const v1::ExperimentSpec spec, LoadSpec(kSpec));
  MENTOR_ASSIGN_OR_RETURN(const auto store, meta_learner::OpenStore(folder.path()));
  MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment,
                          store->records.Create(meta_learner::WithSpec(spec, "bench")));
  const auto metrics = Metrics::Create();
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const double cpu_before = ProcessCpuSeconds();
  {
    Cluster cluster({.actors = 1, .threads = cores, .device = settings.device}, store.get(),
                    metrics.get());
    MENTOR_RETURN_IF_ERROR(cluster.Start());
    while (!IsFinal(experiment.state())) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      MENTOR_ASSIGN_OR_RETURN(experiment, store->records.Get(experiment.name()));
    }
  }
  const double cpu = ProcessCpuSeconds() - cpu_before;
  if (experiment.state() != v1::Experiment::STATE_SUCCEEDED)
    return StatusFromProto(experiment.error());

  MENTOR_ASSIGN_OR_RETURN(const auto points, store->results.Points(experiment.uid()));
  const double updates = spec.rule().outer_updates();
  const auto mean = [&](const std::string& metric) {
    double sum = 0;
    if (const auto series = points.find(metric); series != points.end()) {
      for (const auto& [step, value] : series->second) sum += value;
    }
    return sum / updates;
  };
  Figures figures;
  for (const char* phase : {"rollout", "policy", "signal", "update", "outer"}) {
    figures[std::string("cpu_") + phase] = {mean(std::string(phase) + "_seconds"), "s"};
  }
  figures["epochs"] = {mean("epochs"), ""};
  figures["cpu_total"] = {cpu / updates, "s"};
  figures["wall"] = {mean("wall_seconds"), "s"};
  figures["policy_share_of_rollout"] = {mean("policy_seconds") / mean("rollout_seconds"), "ratio"};
  const double learning = metrics->Counter("mentor_learner_learning_seconds_total", "").Value();
  const double hidden = metrics->Counter("mentor_learner_hidden_seconds_total", "").Value();
  figures["learning_hidden_by_simulation"] = {learning > 0 ? hidden / learning : 0, "ratio"};
  AddFloors(mean("epochs"), &figures);
  return figures;
}

}  // namespace mentor::bench
