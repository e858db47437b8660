// The LSTM signal network on a device or its emulation: acting, and outer PPO's training of a
// piece. The bits of RunLstm, LstmPiece and the optimizer (lstm_run.h, lstm_piece.h). All pointers
// are to the device's memory. Calls are queued there in their order; nothing waits. An error stays:
// all later calls return it. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <absl/status/status.h>

#include "kernels/adam_step.h"
#include "kernels/lstm_weights.h"
#include "kernels/outer_step.h"
#include "signals/lstm/lstm_batch.h"
#include "signals/lstm/lstm_run.h"

struct CUstream_st;  // See launch.h.

namespace mentor::agents {
class WorkerPool;
}  // namespace mentor::agents

namespace mentor::signals {

// The shape of an engine, which decides its memory.
struct LstmEngineShape {
  kernels::LstmSizes sizes;
  double log_initial_std = 0;
  int64_t lifetimes = 0;        // At most.
  int64_t piece_steps = 0;      // At most; 0: for acting only.
  int64_t group_lifetimes = 1;  // Lifetimes whose gradient is one sum.
  // With sizes.both: at the end of each so many steps the LSTM that runs backward begins anew.
  int64_t whole_steps = 1;
};

// The memory that an engine of this shape needs.
template <typename T>
int64_t LstmEngineBytes(const LstmEngineShape& shape);

template <typename T>
class LstmEngine {
 public:
  virtual ~LstmEngine() = default;

  virtual absl::Status Act(const T* weights, const LstmRun<T>& run) = 0;

  // Loss and gradient of steps [begin, end) of `batch`; h and c [N, H] enter and become the state
  // after the piece. Fills sums [groups] with the loss's terms over each group's steps. Fills *norm
  // with the norm of the piece's gradient, which is added to those since the last optimizer step.
  virtual absl::Status TrainPiece(const kernels::OuterLossConfig& loss, const T* weights,
                                  const LstmBatch<T>& batch, int64_t begin, int64_t end, T* h, T* c,
                                  kernels::OuterLossTerms* sums, double* norm) = 0;

  // An optimizer step with the gradient of the pieces since the last one, clipped to max_grad_norm.
  // Steps count from 1.
  virtual absl::Status ClipAndStep(const kernels::AdamConfig& config, int64_t step,
                                   std::optional<double> max_grad_norm, T* weights, T* m, T* v) = 0;
};

// `memory`: LstmEngineBytes(shape) bytes, aligned to 256; it outlives the engine. A null pool runs
// on the calling thread.
template <typename T>
std::unique_ptr<LstmEngine<T>> MakeEmulatedLstmEngine(const LstmEngineShape& shape, void* memory,
                                                      agents::WorkerPool* pool = nullptr);

// On the current device. has_clusters: from compute capability 9.0; without, the default sizes run
// like all others. A build without CUDA returns UNIMPLEMENTED from all calls.
std::unique_ptr<LstmEngine<float>> MakeCudaLstmEngine(const LstmEngineShape& shape, void* memory,
                                                      CUstream_st* stream, bool has_clusters);

}  // namespace mentor::signals
