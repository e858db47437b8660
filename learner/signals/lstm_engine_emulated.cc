#include "learner/kernels/phases.h"
#include "learner/signals/lstm_engine.h"
#include "learner/signals/lstm_engine_phases.h"

namespace mentor::learner {
namespace {

struct EmulatedExecutor {
  static bool has_clusters() { return true; }
  template <class Kernel>
  absl::Status Run(const Kernel& kernel) const {
    Emulate(kernel, kernel.Clusters());
    return absl::OkStatus();
  }
};

}  // namespace

template <typename T>
std::unique_ptr<LstmEngine<T>> MakeEmulatedLstmEngine(const LstmEngineShape& shape, void* memory) {
  return std::make_unique<LstmEngineOn<T, EmulatedExecutor>>(shape, memory, EmulatedExecutor());
}

template std::unique_ptr<LstmEngine<float>> MakeEmulatedLstmEngine(const LstmEngineShape&, void*);
template std::unique_ptr<LstmEngine<double>> MakeEmulatedLstmEngine(const LstmEngineShape&, void*);
template int64_t LstmEngineBytes<float>(const LstmEngineShape&);
template int64_t LstmEngineBytes<double>(const LstmEngineShape&);

}  // namespace mentor::learner
