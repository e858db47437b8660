// A kernel made of phases (kernels/phases.h) with a real thread for each of its own, for the thread
// sanitizer. Two phases without a barrier between them must not touch the same data. Barriers can
// be left out one at a time, to see that the sanitizer finds each.
#pragma once

#include <barrier>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "kernels/phases.h"

namespace mentor::testing {

struct LeftOut {
  int number = -1;  // Index of the barrier, counted from 0 in the order of the kernel's phases.
  bool only_cluster = false;  // Each block still waits for its own threads.
};

template <class Kernel>
class RealThread {
 public:
  RealThread(const kernels::PhaseThread<Kernel>& thread, const LeftOut& left_out,
             std::barrier<>* block, std::barrier<>* cluster)
      : thread_(thread), left_out_(left_out), block_(block), cluster_(cluster) {}

  template <class Phase>
  void Block(Phase&& phase) const {
    phase(thread_);
    if (barriers_++ != left_out_.number || left_out_.only_cluster) block_->arrive_and_wait();
  }
  template <class Phase>
  void Cluster(Phase&& phase) const {
    phase(thread_);
    if (barriers_++ != left_out_.number) {
      cluster_->arrive_and_wait();
    } else if (left_out_.only_cluster) {
      block_->arrive_and_wait();
    }
  }
  int barriers() const { return barriers_; }

 private:
  const kernels::PhaseThread<Kernel> thread_;
  const LeftOut left_out_;
  std::barrier<>*block_, *cluster_;
  mutable int barriers_ = 0;
};

// Runs one cluster; returns the number of its barriers.
template <class Kernel>
int RunWithThreads(const Kernel& kernel, int64_t cluster, const LeftOut& left_out) {
  using Shared = typename Kernel::Shared;
  constexpr int kRanks = Kernel::kRanks, kThreads = Kernel::kThreads;
  const auto blocks = std::make_unique_for_overwrite<Shared[]>(kRanks);
  std::memset(static_cast<void*>(blocks.get()), 0xff, kRanks * sizeof(Shared));
  Shared* of[kRanks];
  for (int rank = 0; rank < kRanks; ++rank) of[rank] = &blocks[rank];
  std::barrier of_cluster(kRanks * kThreads);
  std::vector<std::unique_ptr<std::barrier<>>> of_blocks;
  for (int rank = 0; rank < kRanks; ++rank)
    of_blocks.push_back(std::make_unique<std::barrier<>>(kThreads));
  int barriers = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kRanks * kThreads; ++i) {
      threads.emplace_back([&, tid = i % kThreads, rank = i / kThreads] {
        typename Kernel::Registers own;
        const RealThread<Kernel> thread(
            {.tid = tid, .rank = rank, .own = own, .of = {.own = of[rank], .emulated = of}},
            left_out, of_blocks[rank].get(), &of_cluster);
        kernel.Phases(cluster, thread);
        if (tid == 0 && rank == 0) barriers = thread.barriers();
      });
    }
  }
  return barriers;
}

}  // namespace mentor::testing
