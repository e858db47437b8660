// One optimizer step of stacked agents beside LibTorch's autograd.
#include "agents/ppo.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "agents/agent_shape.h"
#include "common/check.h"
#include "tests/bench/bench.h"
#include "tests/bench/workload.h"

namespace mentor::bench {
namespace {

// Optimizer steps of one measurement.
constexpr int64_t kOptimizerSteps = 256;
// Numbers of agents side by side; the emulation is slow.
constexpr int64_t kStacksCpu[] = {1, 5, 15, 30};

// Agents for the measurement of an update with values, advantages and permutations.
class Stack {
 public:
  Stack(int64_t num_agents, int64_t epochs)
      : segment_(AgentsSegment(num_agents, kSteps)),
        rewards_(NormalTensor({num_agents, kSteps}, 5)) {
    config_.epochs = epochs;
    lifetimes_.resize(static_cast<size_t>(num_agents));
    std::iota(lifetimes_.begin(), lifetimes_.end(), 0);
    agents_ = agents::NewAgents(
        agents::InitialTheta(shape_, /*initial_std=*/1, /*seed=*/1, Phase::kTraining, lifetimes_));
  }

  // Milliseconds of an optimizer step of one agent.
  absl::StatusOr<double> StepMs(const kernels::Device& device, bool autograd) const {
    const agents::MinibatchOrder order = agents::KeyedOrder(1, Phase::kTraining, 0, lifetimes_);
    absl::StatusOr<agents::UpdateResult> result;
    const double seconds = SecondsOf(device, [&] {
      result = agents::PpoUpdate(
          shape_, agents_, segment_, rewards_, config_, order,
          {.engine = autograd ? agents::PpoEngine::kAutograd : agents::PpoEngine::kDefault,
           .device = device});
    });
    MENTOR_RETURN_IF_ERROR(result.status());
    MENTOR_CHECK(result->nonfinite == 0);
    return 1e3 * seconds /
           static_cast<double>(config_.epochs * kMinibatches * segment_.observations.size(0));
  }

 private:
  const agents::AgentShape shape_{.observation_size = kObservation, .action_size = kAction};
  const agents::Segment segment_;
  const torch::Tensor rewards_;
  agents::PpoConfig config_;
  std::vector<uint32_t> lifetimes_;
  agents::AgentBatch agents_;
};

absl::StatusOr<Figures> MeasurePpoOnCpu() {
  Figures figures;
  std::map<std::string, double> ours;
  double eager = INFINITY;
  for (const int64_t s : kStacksCpu) {
    // Warm-up.
    const Stack small(s, /*epochs=*/1);
    MENTOR_RETURN_IF_ERROR(small.StepMs({}, /*autograd=*/true).status());
    MENTOR_RETURN_IF_ERROR(small.StepMs({}, /*autograd=*/false).status());
    const Stack stack(s, kOptimizerSteps / kMinibatches);
    const std::string suffix = absl::StrCat("_s", s);
    MENTOR_ASSIGN_OR_RETURN(const double eager_ms, stack.StepMs({}, /*autograd=*/true));
    MENTOR_ASSIGN_OR_RETURN(ours[suffix], stack.StepMs({}, /*autograd=*/false));
    figures["eager" + suffix] = {eager_ms, "ms"};
    figures["step" + suffix] = {ours[suffix], "ms"};
    eager = std::min(eager, eager_ms);
  }
  for (const auto& [suffix, ms] : ours) figures["speedup" + suffix] = {eager / ms, "ratio"};
  const double peak = FmaPeak(), floor_ms = 1e3 * PpoStepFlop() / peak;
  figures["fma_peak"] = {1e-9 * peak, "GFLOP/s"};
  figures["floor"] = {floor_ms, "ms"};
  figures["step_over_floor_s30"] = {ours.at("_s30") / floor_ms, "ratio"};
  return figures;
}

}  // namespace

absl::StatusOr<Figures> MeasurePpo(const Settings& settings) {
  const kernels::Device& device = settings.device;
  if (device.kind == kernels::DeviceKind::kCpu) return MeasurePpoOnCpu();
  const bool cuda = device.kind == kernels::DeviceKind::kCuda;
  Figures figures;
  for (const int64_t s :
       cuda ? std::vector<int64_t>{30, 132, 512, 2048} : std::vector<int64_t>{1}) {
    const std::string suffix = absl::StrCat("_s", s);
    MENTOR_RETURN_IF_ERROR(Stack(s, /*epochs=*/1).StepMs(device, /*autograd=*/false).status());
    const Stack stack(s, cuda ? kOptimizerSteps / kMinibatches : 1);
    MENTOR_ASSIGN_OR_RETURN(const double ms, stack.StepMs(device, /*autograd=*/false));
    figures["step" + suffix] = {ms, "ms"};
    figures["agent_updates" + suffix] = {1e3 / ms, "1/s"};
  }
  return figures;
}

}  // namespace mentor::bench
