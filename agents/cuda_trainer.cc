#include "agents/phase_trainer.h"
#include "kernels/launch.h"

namespace mentor::learner {

std::unique_ptr<AgentTrainer> NewCudaTrainer(const TrainerSetup& setup) {
  return std::make_unique<PhaseTrainer<float, CudaLauncher>>(
      setup, CudaLauncher{setup.work->stream(), setup.work->device().has_clusters});
}

}  // namespace mentor::learner
