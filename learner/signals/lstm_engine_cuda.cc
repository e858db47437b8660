#include "learner/kernels/launch.h"
#include "learner/signals/lstm_engine.h"
#include "learner/signals/lstm_engine_phases.h"

namespace mentor::learner {
namespace {

class CudaExecutor {
 public:
  CudaExecutor(CUstream_st* stream, bool has_clusters)
      : stream_(stream), has_clusters_(has_clusters) {}

  bool has_clusters() const { return has_clusters_; }
  template <class Kernel>
  absl::Status Run(const Kernel& kernel) const {
    return Launch(kernel, kernel.Clusters(), stream_);
  }

 private:
  CUstream_st* stream_;
  bool has_clusters_;
};

}  // namespace

std::unique_ptr<LstmEngine<float>> MakeCudaLstmEngine(const LstmEngineShape& shape, void* memory,
                                                      CUstream_st* stream, bool has_clusters) {
  return std::make_unique<LstmEngineOn<float, CudaExecutor>>(shape, memory,
                                                             CudaExecutor(stream, has_clusters));
}

}  // namespace mentor::learner
