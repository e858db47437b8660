// Kernels of a device on the host's threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "agents/worker_pool.h"
#include "kernels/phases.h"

namespace mentor::agents {

// A launcher (launch.h) that runs a kernel before it returns. Null pool: on this thread.
struct EmulatedLauncher {
  WorkerPool* pool;
  bool has_clusters = true;

  template <class Kernel>
  absl::Status Launch(const Kernel& kernel, int64_t clusters) const {
    // Few tasks, since most clusters are small, but enough for shares of one length.
    constexpr int64_t kTasks = 64;
    const int64_t tasks = std::min(clusters, kTasks);
    return ParallelFor(pool, tasks, [&](int64_t task) {
      kernels::InOrder order;
      for (int64_t cluster = task; cluster < clusters; cluster += tasks)
        kernels::EmulateCluster(kernel, cluster, &order);
      return absl::OkStatus();
    });
  }
};

}  // namespace mentor::agents
