// A kernel as phases: one source for a device and for its emulation on the host. A kernel is plain
// data (sizes and pointers) with
//
//   static constexpr int kThreads;  // of a block
//   static constexpr int kRanks;    // blocks of a cluster, which see each other's shared memory
//   struct Shared;                  // of a block; uninitialised at the beginning
//   struct Registers;               // of a thread; uninitialised at the beginning
//   template <class Run> MENTOR_HD void Phases(int64_t cluster, const Run& run) const;
//
// Phases calls run.Block(phase) or run.Cluster(phase) again and again; on a device every thread
// does. All threads must agree on the next phase; shared memory that earlier phases have written
// may decide it. phase(PhaseThread<Kernel>) does the work of one thread; a barrier of the block or
// of the cluster follows. Within a phase no thread may read what another one writes in it:
// emulations run threads in any order, and tests shuffle them.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "common/device_code.h"

#ifdef __CUDACC__
#include <cooperative_groups.h>
#endif

namespace mentor::kernels {

// The shared memory of all blocks of a cluster, seen from one block. A device reads its own block
// faster by its own address.
template <class Kernel>
struct ClusterShared {
  typename Kernel::Shared* own;
  typename Kernel::Shared* const* emulated;  // By rank, on the host.

  MENTOR_HD typename Kernel::Shared* operator[](int rank) const {
#ifdef __CUDA_ARCH__
#if __CUDA_ARCH__ >= 900
    if constexpr (Kernel::kRanks > 1)
      return cooperative_groups::this_cluster().map_shared_rank(own, static_cast<unsigned>(rank));
#endif
    return own;
#else
    return emulated[rank];
#endif
  }
};

template <class Kernel>
struct PhaseThread {
  int tid;                          // In its block.
  int rank;                         // Rank of the block in its cluster.
  typename Kernel::Registers& own;  // This thread's.
  ClusterShared<Kernel> of;         // Shared memory of each rank; of[rank] is shared()'s.

  MENTOR_HD typename Kernel::Shared& shared() const { return *of.own; }
};

// A cluster of a kernel on the host. `order` permutes the threads of all ranks before each phase.
template <class Kernel, class Order>
class Emulation {
 public:
  explicit Emulation(Order* order)
      : order_(order),
        blocks_(std::make_unique_for_overwrite<typename Kernel::Shared[]>(Kernel::kRanks)),
        registers_(std::make_unique_for_overwrite<typename Kernel::Registers[]>(kCount)),
        threads_(kCount) {
    // Numbers start as NaN, so that reads of unwritten ones show.
    std::memset(static_cast<void*>(blocks_.get()), 0xff,
                Kernel::kRanks * sizeof(typename Kernel::Shared));
    for (int rank = 0; rank < Kernel::kRanks; ++rank) of_[rank] = &blocks_[rank];
    std::iota(threads_.begin(), threads_.end(), 0);
  }

  template <class Phase>
  void Block(Phase&& phase) const {
    (*order_)(&threads_);
    for (const int i : threads_) {
      const int rank = i / Kernel::kThreads;
      phase(PhaseThread<Kernel>{.tid = i % Kernel::kThreads,
                                .rank = rank,
                                .own = registers_[i],
                                .of = {.own = of_[rank], .emulated = of_}});
    }
  }
  template <class Phase>
  void Cluster(Phase&& phase) const {
    Block(phase);
  }

 private:
  static constexpr int kCount = Kernel::kThreads * Kernel::kRanks;
  Order* order_;
  std::unique_ptr<typename Kernel::Shared[]> blocks_;
  std::unique_ptr<typename Kernel::Registers[]> registers_;
  typename Kernel::Shared* of_[Kernel::kRanks];
  mutable std::vector<int> threads_;
};

struct InOrder {
  void operator()(std::vector<int>*) const {}
};

template <class Kernel, class Order>
void EmulateCluster(const Kernel& kernel, int64_t cluster, Order* order) {
  kernel.Phases(cluster, Emulation<Kernel, Order>(order));
}

// Runs all clusters of a kernel on this thread, one after another.
template <class Kernel, class Order = InOrder>
void Emulate(const Kernel& kernel, int64_t clusters, Order order = {}) {
  for (int64_t cluster = 0; cluster < clusters; ++cluster) EmulateCluster(kernel, cluster, &order);
}

}  // namespace mentor::kernels
