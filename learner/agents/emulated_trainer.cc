#include "learner/agents/phase_trainer.h"

namespace mentor::learner {
namespace {

struct EmulatedLauncher {
  WorkerPool* pool;
  torch::Device device = torch::kCPU;
  bool clusters = true;

  template <class Kernel>
  absl::Status Launch(const Kernel& kernel, int64_t num_clusters) {
    return ParallelFor(pool, num_clusters, [&](int64_t cluster) {
      InOrder order;
      EmulateCluster(kernel, cluster, &order);
      return absl::OkStatus();
    });
  }
};

}  // namespace

std::unique_ptr<AgentTrainer> NewEmulatedTrainer(const TrainerSetup& setup, torch::Dtype dtype) {
  const EmulatedLauncher launcher{setup.pool};
  if (dtype == torch::kFloat32)
    return std::make_unique<PhaseTrainer<float, EmulatedLauncher>>(setup, launcher);
  return std::make_unique<PhaseTrainer<double, EmulatedLauncher>>(setup, launcher);
}

}  // namespace mentor::learner
