// The learner's process around its parts: a stream to the meta-learner, threads that run its
// shards, and the rollout server that gives their units to actors. Keeps nothing that it cannot
// compute again: when the stream ends, its shards end too, and the meta-learner gives them to any
// learner that is connected. Thread-safe.
#pragma once

#include <torch/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/channel.h>

#include "common/metrics.h"
#include "common/mutex.h"
#include "common/rpc/channel.h"
#include "common/rpc/stream.h"
#include "learner/agents/worker_pool.h"
#include "learner/kernels/device.h"
#include "learner/kernels/device_monitor.h"
#include "learner/rollout/rollout_server.h"
#include "mentor/v1/shard_service.grpc.pb.h"

namespace mentor::learner {

class Learner {
 public:
  struct Options {
    int num_threads = 1;  // For tensor work.
    // Memory that shards and the process may take, for the meta-learner: it gives no shard that
    // needs more. 0: no limit; nothing: what the machine says when a stream begins.
    std::optional<uint64_t> memory_bytes = std::nullopt;
    Device device = {};   // Where signal network and PPO run.
    int shard_slots = 2;  // Shards at once: one learns while another simulates.
    std::function<std::shared_ptr<grpc::Channel>()> meta_learner;
    // How a stream to it has ended: the next one may go elsewhere. May be null.
    std::function<void(const absl::Status&)> on_meta_learner_ended = {};
    RolloutServer* rollout = nullptr;  // Outlives the learner.
    // What it says that it computes with: a device and the hash of its results. Empty: `device` and
    // what that computes. Tests say other things.
    std::string device_name = {}, fingerprint = {};
    // Called once, when the meta-learner wanted it to leave, what it held is done and the
    // meta-learner has it all. From any thread.
    std::function<void()> on_drained = {};
  };
  Learner(Options options, Metrics* metrics);
  ~Learner();

  // Drops the shards at work, says so, and disconnects.
  void Stop();

 private:
  using ShardStream = rpc::Stream<v1::RunRequest, v1::RunResponse>;
  struct Job;
  struct Connection;

  // With what is empty filled in.
  static Options WithFingerprint(Options options);
  void Connect();
  // nullopt when it is stopping.
  std::optional<ShardStream::Handlers> Open(std::shared_ptr<ShardStream> stream);
  void OnMessage(const std::shared_ptr<Connection>& connection, v1::RunResponse message);
  void Work();
  void RunJob(const std::shared_ptr<Job>& job);
  void ReportProgress();
  // After each change of what it holds, without the lock.
  void LeaveWhenDrained();
  // So that what it holds is not suspected of having killed it. The stream may be open afterwards.
  void SayGoodbye(Connection* connection);
  // Its last words; the process ends when it returns.
  void TellDeviceLost(const absl::Status& why);
  // A running shard goes from learning to simulating or back. Counts how much learning is hidden
  // behind simulation.
  void CountPhase(int learning, int simulating);
  // The rollout server's lock comes after ours.
  void CancelLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Fixed after construction.
  const Options options_;
  const std::shared_ptr<WorkerPool> pool_;
  DeviceMonitor::Handle device_lost_;
  prometheus::Counter& shards_;
  prometheus::Counter& nonfinite_;
  prometheus::Counter& updates_;
  prometheus::Histogram& signal_seconds_;
  prometheus::Histogram& update_seconds_;
  prometheus::Gauge& last_update_;
  prometheus::Counter& learning_seconds_;
  prometheus::Counter& hidden_seconds_;
  prometheus::Counter& waiting_seconds_;
  prometheus::Counter& idle_seconds_;
  prometheus::Gauge& queue_items_;
  prometheus::Gauge& queue_capacity_;
  rpc::Reconnector reconnector_;  // Thread-safe.
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<Job>> queue_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::shared_ptr<Job>> running_ ABSL_GUARDED_BY(mutex_);  // By unit_shard.
  uint64_t next_unit_shard_ ABSL_GUARDED_BY(mutex_) = 1;
  int num_learning_ ABSL_GUARDED_BY(mutex_) = 0;    // Shards that compute.
  int num_simulating_ ABSL_GUARDED_BY(mutex_) = 0;  // Shards that wait for actors.
  std::chrono::steady_clock::time_point phase_since_ ABSL_GUARDED_BY(mutex_) =
      std::chrono::steady_clock::now();
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool drained_ ABSL_GUARDED_BY(mutex_) = false;  // And on_drained was called.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int idle_workers_ ABSL_GUARDED_BY(mutex_) = 0;
  // Last, so that they stop first. One worker for each shard that it was ever given at once.
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::learner
