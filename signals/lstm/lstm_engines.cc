#include "agents/emulate.h"
#include "kernels/launch.h"
#include "signals/lstm/lstm_engine.h"
#include "signals/lstm/lstm_engine_phases.h"

namespace mentor::signals {

template <typename T>
std::unique_ptr<LstmEngine<T>> MakeEmulatedLstmEngine(const LstmEngineShape& shape, void* memory,
                                                      agents::WorkerPool* pool) {
  return std::make_unique<LstmEngineOn<T, agents::EmulatedLauncher>>(
      shape, memory, agents::EmulatedLauncher{pool});
}

template std::unique_ptr<LstmEngine<float>> MakeEmulatedLstmEngine(const LstmEngineShape&, void*,
                                                                   agents::WorkerPool*);
template std::unique_ptr<LstmEngine<double>> MakeEmulatedLstmEngine(const LstmEngineShape&, void*,
                                                                    agents::WorkerPool*);
template int64_t LstmEngineBytes<float>(const LstmEngineShape&);
template int64_t LstmEngineBytes<double>(const LstmEngineShape&);

std::unique_ptr<LstmEngine<float>> MakeCudaLstmEngine(const LstmEngineShape& shape, void* memory,
                                                      CUstream_st* stream, bool has_clusters) {
  return std::make_unique<LstmEngineOn<float, kernels::CudaLauncher>>(
      shape, memory, kernels::CudaLauncher{stream, has_clusters});
}

}  // namespace mentor::signals
