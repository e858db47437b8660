// Values of a segment's observations as phases (phases.h): the forward pass of ppo_network.h.
#pragma once

#include <cstdint>

#include "agents/ppo_network.h"
#include "kernels/phases.h"

namespace mentor::agents {

// Pointers of the device.
template <typename T>
struct PpoValuesData {
  const T* theta;         // [S, P] of agents with a critic
  const T* observations;  // [S, R, D]
  T* values;              // [S, R]
  int32_t rows;           // R
  int32_t blocks;         // Blocks that share the rows of an agent.
  T* workspace;           // [S, blocks, num_numbers], where the arrays are not shared
};

// Cluster: block number of the agent + blocks times agent.
template <typename T, class Sizes, int kWorkers = 256>
class PpoValues {
 public:
  static constexpr int kThreads = kWorkers;
  static constexpr int kRanks = 1;
  using Shared = NetworkMemory<T, Sizes, false>;
  struct Registers {};

  PpoValues(const Sizes& sizes, const PpoValuesData<T>& data) : layout_{sizes}, data_(data) {}

  template <class Run>
  MENTOR_HD void Phases(int64_t cluster, const Run& run) const {
    const int64_t agent = cluster / data_.blocks;
    run.Block([&](const auto& t) {
      const int64_t first = agent * layout_.num_params_of(2) + layout_.num_params(0);
      Value(t, cluster).LoadParams({t.tid, kThreads}, data_.theta + first);
    });
    const int piece = layout_.sizes.rows;
    for (int32_t begin = static_cast<int32_t>(cluster % data_.blocks) * piece; begin < data_.rows;
         begin += data_.blocks * piece) {
      const int rows = piece < data_.rows - begin ? piece : data_.rows - begin;
      const int64_t first = agent * data_.rows + begin;
      run.Block([&](const auto& t) {
        Value(t, cluster).LoadInputs({t.tid, kThreads}, rows, [&](int row) {
          return data_.observations + (first + row) * layout_.sizes.inputs;
        });
      });
      run.Block([&](const auto& t) { Value(t, cluster).FirstLayer({t.tid, kThreads}, rows); });
      run.Block([&](const auto& t) { Value(t, cluster).SecondLayer({t.tid, kThreads}, rows); });
      run.Block([&](const auto& t) { Value(t, cluster).OutputLayer({t.tid, kThreads}, rows); });
      run.Block([&](const auto& t) {
        const PpoNetwork<T, Sizes> value = Value(t, cluster);
        for (int b = t.tid; b < rows; b += kThreads) data_.values[first + b] = *value.Output(b);
      });
    }
  }

 private:
  MENTOR_HD PpoNetwork<T, Sizes> Value(const kernels::PhaseThread<PpoValues>& t,
                                       int64_t cluster) const {
    if constexpr (Sizes::kShared) {
      return {layout_, 1, t.shared().numbers, t.shared().doubles};
    } else {
      return {layout_, 1, data_.workspace + cluster * layout_.num_numbers(false), nullptr};
    }
  }

  PpoLayout<Sizes> layout_;
  PpoValuesData<T> data_;
};

}  // namespace mentor::agents
