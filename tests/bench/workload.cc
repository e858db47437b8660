#include "tests/bench/workload.h"

#include <fstream>
#include <string>

#include "common/cpu_time.h"
#include "common/rng.h"

namespace mentor::bench {

torch::Tensor NormalTensor(torch::IntArrayRef shape, uint32_t number) {
  torch::Tensor x = torch::empty(shape, torch::kFloat64);
  RandomStream{.seed = 7}.Normals(number,
                                  {x.mutable_data_ptr<double>(), static_cast<size_t>(x.numel())});
  return x.to(torch::kFloat32);
}

agents::Segment AgentsSegment(int64_t num_agents, int64_t steps) {
  agents::Segment segment;
  segment.observations = NormalTensor({num_agents, steps, kObservation}, 0);
  segment.actions = NormalTensor({num_agents, steps, kAction}, 1);
  // Densities of unit normals about zero, as of the first policies.
  segment.log_probs = -0.5 * segment.actions.square().sum(-1) - 0.9189385 * kAction;
  segment.prev_done = torch::zeros({num_agents, steps});
  segment.last_done = torch::ones({num_agents});
  segment.next_observations = NormalTensor({num_agents, kObservation}, 2);
  return segment;
}

double SecondsOf(const kernels::Device& device, const std::function<void()>& work) {
  const double cpu = ThreadCpuSeconds();
  const auto wall = std::chrono::steady_clock::now();
  work();
  return device.kind == kernels::DeviceKind::kCuda ? SecondsSince(wall) : ThreadCpuSeconds() - cpu;
}

double MemoryBytes(std::string_view field) {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    if (double kilobytes = 0; word == field && file >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace mentor::bench
