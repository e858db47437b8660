// Memory of an actor that works on every Meta-World environment (docs/performance.md). Each thread
// keeps its own simulators, as in actors; the models are shared.
#include <algorithm>
#include <barrier>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/check.h"
#include "envs/environment.h"
#include "tests/bench/bench.h"
#include "tests/bench/workload.h"

namespace mentor::bench {
namespace {

constexpr int kVisitSteps = 500;

// Plays one episode in each environment, and keeps all environments.
absl::Status Visit(const std::vector<const envs::EnvironmentEntry*>& entries, uint32_t thread,
                   std::vector<std::unique_ptr<envs::Environment>>* kept) {
  const RandomStream random{.seed = 1, .purpose = Purpose::kTest, .lifetime = thread};
  for (const envs::EnvironmentEntry* entry : entries) {
    MENTOR_ASSIGN_OR_RETURN(kept->emplace_back(),
                            envs::MakeEnvironment(envs::DrawTask(*entry, {}, random, thread)));
    envs::Environment& environment = *kept->back();
    std::vector<double> observation(environment.info().observation_size);
    std::vector<float> action(environment.info().action_size);
    MENTOR_RETURN_IF_ERROR(environment.Reset(random, 0, observation));
    for (int t = 0; t < kVisitSteps; ++t) {
      for (size_t i = 0; i < action.size(); ++i)
        action[i] = static_cast<float>(2 * random.Uniform(t, static_cast<uint32_t>(i)) - 1);
      MENTOR_RETURN_IF_ERROR(environment.Step(action, observation).status());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Figures> RunMemory(const Settings& settings) {
  const int threads = std::max(settings.threads, 2);
  std::vector<const envs::EnvironmentEntry*> entries;
  for (const envs::EnvironmentEntry* entry : envs::Catalogue()) {
    if (entry->suite == "Meta-World v3") entries.push_back(entry);
  }
  const double before = MemoryBytes("VmRSS:") / (1 << 20);
  double after = 0;
  std::vector<absl::Status> statuses(threads);
  // Memory is read while every thread still has its simulators.
  std::barrier done(threads, [&after]() noexcept { after = MemoryBytes("VmRSS:") / (1 << 20); });
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i) {
      workers.emplace_back([&, i] {
        std::vector<std::unique_ptr<envs::Environment>> kept;
        statuses[i] = Visit(entries, i, &kept);
        done.arrive_and_wait();
      });
    }
  }
  for (const absl::Status& status : statuses) MENTOR_RETURN_IF_ERROR(status);
  return Figures{
      {"environments", {static_cast<double>(entries.size()), ""}},
      {"threads", {static_cast<double>(threads), ""}},
      {"resident", {after - before, "MB", "must 2000, goal 1200 (without the program itself)"}},
      {"resident_before", {before, "MB"}}};
}

const RegisterBench register_memory(
    {.name = "memory",
     .summary = "Resident memory with every Meta-World environment in each of two threads",
     .run = RunMemory});

}  // namespace
}  // namespace mentor::bench
