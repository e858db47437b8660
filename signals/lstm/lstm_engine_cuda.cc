#include "kernels/launch.h"
#include "signals/lstm/lstm_engine.h"
#include "signals/lstm/lstm_engine_phases.h"

namespace mentor::learner {

std::unique_ptr<LstmEngine<float>> MakeCudaLstmEngine(const LstmEngineShape& shape, void* memory,
                                                      CUstream_st* stream, bool has_clusters) {
  return std::make_unique<LstmEngineOn<float, CudaLauncher>>(shape, memory,
                                                             CudaLauncher{stream, has_clusters});
}

}  // namespace mentor::learner
