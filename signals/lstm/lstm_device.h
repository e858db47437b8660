// The LSTM signal network where a device, or its emulation, runs the kernels (lstm_engine.h).
// Tensors of the host travel there and back. Memory is taken for a call, and for a trainer's life.
// Immutable; threads may share.
#pragma once

#include <torch/types.h>

#include <memory>

#include <absl/status/statusor.h>

#include "kernels/device.h"
#include "signals/lstm/lstm_plain.h"
#include "signals/piece_gradient.h"
#include "signals/signal_network.h"

namespace mentor::signals {

struct LstmOnDevice {
  const LstmPlain& plain;
  double log_initial_std = 0;
  int64_t looks_ahead = 1;  // SignalDensity::looks_ahead
  kernels::Device device;   // Not the CPU.

  // SignalSource::Run on features [S, T, recorded()] float32. Throws c10::OutOfMemoryError when the
  // device lacks memory.
  SignalOutputs Run(const torch::Tensor& weights, const torch::Tensor& features,
                    const torch::Tensor& noise, SignalState* state) const;

  // Device memory of Run, and of a trainer.
  int64_t RunBytes(int64_t lifetimes, int64_t steps) const;
  int64_t TrainerBytes(const PieceTrainerSetup& setup, int64_t lifetimes, int64_t steps) const;

  // weights, m and v [P] float32. Waits while other work of this process has the memory. CANCELLED
  // then (CallerScope), or RESOURCE_EXHAUSTED with both numbers when the device lacks it.
  absl::StatusOr<std::unique_ptr<PieceTrainer>> NewTrainer(const PieceTrainerSetup& setup,
                                                           const PieceTrainerBatch& batch,
                                                           const torch::Tensor& weights,
                                                           const torch::Tensor& m,
                                                           const torch::Tensor& v) const;
};

}  // namespace mentor::signals
