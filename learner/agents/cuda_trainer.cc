#include "learner/agents/phase_trainer.h"
#include "learner/kernels/launch.h"

namespace mentor::learner {
namespace {

struct CudaLauncher {
  torch::Device device;
  CUstream_st* stream;
  bool clusters;

  template <class Kernel>
  absl::Status Launch(const Kernel& kernel, int64_t num_clusters) {
    return learner::Launch(kernel, num_clusters, stream);
  }
};

}  // namespace

std::unique_ptr<AgentTrainer> NewCudaTrainer(const TrainerSetup& setup, torch::Device device,
                                             CUstream_st* stream, bool has_clusters) {
  return std::make_unique<PhaseTrainer<float, CudaLauncher>>(
      setup, CudaLauncher{device, stream, has_clusters});
}

}  // namespace mentor::learner
