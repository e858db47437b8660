// Runs one shard: some inner iterations, or the whole lives, of S agents. Everything it sends is a
// function of the shard and the meta-parameters, whatever actors do. One object per running shard,
// used by one thread.
#pragma once

#include <torch/types.h>

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "agents/segment.h"
#include "agents/worker_pool.h"
#include "kernels/device.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::shards {

// Simulates units and returns their results in the same order. Blocks; CANCELLED when *cancel
// becomes true.
using RunUnits = std::function<absl::StatusOr<std::vector<v1::Result>>(
    std::vector<v1::Unit> units, const std::atomic<bool>& cancel)>;
// Takes a finished segment; blocks while the receiver is behind.
using EmitSegment = std::function<absl::Status(v1::Segment segment)>;

struct ShardReport {
  v1::PhaseSeconds seconds;
  uint64_t nonfinite_updates = 0;
  v1::Snapshot snapshot;         // When the shard asked for it.
  torch::Tensor outer_gradient;  // [Q] float64; undefined when the inner loop has none.
  std::map<std::string, double> statistics;
};

struct ShardInputs {
  const v1::Shard* shard = nullptr;  // Checked by CheckShard.
  uint64_t unit_shard = 0;           // First part of unit ids, unique in this process.
  torch::Tensor meta_parameters;     // [Q]; undefined for baselines
  agents::WorkerPool* pool = nullptr;
  kernels::Device device = {};
};

// INVALID_ARGUMENT for a shard that cannot run; checked on arrival.
absl::Status CheckShard(const v1::Shard& shard);

absl::StatusOr<ShardReport> RunShard(const ShardInputs& inputs, const RunUnits& run_units,
                                     const EmitSegment& emit, const std::atomic<bool>& cancel);

}  // namespace mentor::shards
