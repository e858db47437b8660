#include "agents/emulate.h"
#include "agents/phase_trainer.h"
#include "kernels/launch.h"

namespace mentor::agents {

std::unique_ptr<AgentTrainer> NewEmulatedTrainer(const TrainerSetup& setup, torch::Dtype dtype) {
  const EmulatedLauncher launcher{setup.pool};
  if (dtype == torch::kFloat32)
    return std::make_unique<PhaseTrainer<float, EmulatedLauncher>>(setup, launcher);
  return std::make_unique<PhaseTrainer<double, EmulatedLauncher>>(setup, launcher);
}

std::unique_ptr<AgentTrainer> NewCudaTrainer(const TrainerSetup& setup) {
  return std::make_unique<PhaseTrainer<float, kernels::CudaLauncher>>(
      setup, kernels::CudaLauncher{setup.work->stream(), setup.work->device().has_clusters});
}

}  // namespace mentor::agents
