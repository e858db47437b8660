// The learner's process around its parts: a stream to the meta-learner, threads that run its
// shards, and the rollout server that gives their units to actors. Keeps no state that cannot be
// computed again. When the stream ends, its shards end too, and the meta-learner gives them to any
// connected learner. Thread-safe.
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

#include "agents/worker_pool.h"
#include "common/hash.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "common/rpc/channel.h"
#include "common/rpc/stream.h"
#include "kernels/device.h"
#include "kernels/device_monitor.h"
#include "learner/rollout/rollout_server.h"
#include "mentor/v1/shard_service.grpc.pb.h"

namespace mentor::learner {

class Learner {
 public:
  struct Options {
    int num_threads = 1;  // Threads for tensor work.
    // Memory that shards and the process may take; the meta-learner gives no shard that needs more.
    // 0: no limit. Nothing: the machine's memory when a stream begins.
    std::optional<uint64_t> memory_bytes = std::nullopt;
    kernels::Device device = {};  // Where signal network and PPO run.
    int shard_slots = 2;          // Shards at once: one learns while another simulates.
    std::function<std::shared_ptr<grpc::Channel>()> meta_learner;
    std::function<std::string()> meta_learner_address =
        {};  // The address of that channel; may be null.
    // Called with the status of an ended stream; the next stream may go elsewhere. May be null.
    std::function<void(const absl::Status&)> on_meta_learner_ended = {};
    RolloutServer* rollout = nullptr;  // Outlives the learner.
    // The arithmetic that it reports: a device, and the hash of its results. Empty: those of
    // `device`. Tests report others.
    std::string device_name = {}, fingerprint = {};
    // Called once, from any thread: the meta-learner asked it to leave, its work is done, and the
    // meta-learner has all of it.
    std::function<void()> on_drained = {};
  };
  Learner(Options options, Metrics* metrics);
  ~Learner();

  // Drops the running shards, reports that, and disconnects.
  void Stop();

 private:
  using ShardStream = rpc::Stream<v1::RunRequest, v1::RunResponse>;
  // One stream to the meta-learner and what came over it.
  struct Connection {
    std::shared_ptr<ShardStream> stream;
    // Guarded by the learner's mutex_.
    bool welcomed = false;
    bool closed = false;
    std::string server = {};  // The meta-learner's uid; fixed before the first shard.
    // The last version received. The meta-learner sends another before a shard that needs one; a
    // shard holds its own until it ends.
    uint64_t signal_version = 0;
    torch::Tensor meta_parameters;
  };
  struct Job {
    v1::Shard shard;
    uint64_t unit_shard = 0;
    torch::Tensor meta_parameters;
    std::shared_ptr<Connection> connection;
    std::atomic<bool> cancel = false;
    // Guarded by the learner's mutex_.
    uint32_t acknowledged = 0;  // Segments.
  };

  // Fills in empty fields.
  static Options WithFingerprint(Options options);
  void Connect();
  // nullopt when the learner is stopping.
  std::optional<ShardStream::Handlers> Open(std::shared_ptr<ShardStream> stream);
  void OnMessage(const std::shared_ptr<Connection>& connection, v1::RunResponse message);
  void Take(const std::shared_ptr<Connection>& connection, v1::Shard shard);
  void Drop(const std::shared_ptr<Connection>& connection, const v1::DropShard& dropped);
  void Work();

  // In shard_work.cc: a shard from its first unit to its end.
  void RunJob(const std::shared_ptr<Job>& job);
  struct Sent {
    Sha256 hash;
    uint32_t segments = 0;
  };
  // Waits until the meta-learner wants another segment.
  absl::Status SendSegment(const Job& job, v1::Segment segment, Sent* sent);
  // Sends the end of a shard, and takes it back when it used numbers that are found to be wrong.
  void SendDone(const Job& job, v1::ShardDone done);
  // Takes back ended shards that used results of actors that were found out.
  void TakeBackEnded();

  void ReportProgress();
  // Call it without the lock after each change of the shards it holds.
  void LeaveWhenDrained();
  // Reports a planned end, so that the shards it holds are not suspected of killing it. The stream
  // may stay open.
  void SayGoodbye(Connection* connection);
  // Reports the failure; the process ends when it returns.
  void TellDeviceLost(const absl::Status& why);
  // Counts a running shard that goes from learning to simulating or back, and how much learning is
  // hidden behind simulation.
  void CountPhase(int learning, int simulating);
  // The rollout server's lock comes after the learner's.
  void CancelLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Fixed after construction.
  const Options options_;
  const std::shared_ptr<agents::WorkerPool> pool_;
  kernels::DeviceMonitor::Handle device_lost_;
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
  Mutex take_back_mutex_;         // Keeps the order of such messages. Before mutex_.
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
  // The newest shards that have ended, by unit_shard, and those to take back, with the reason.
  struct Ended {
    std::string server;
    uint64_t shard_id = 0, epoch = 0;
  };
  std::map<uint64_t, Ended> ended_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<Ended, std::string>> taken_back_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool drained_ ABSL_GUARDED_BY(mutex_) = false;  // Drained, and on_drained was called.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool fleet_changed_ ABSL_GUARDED_BY(mutex_) = false;  // Since the last report.
  int idle_workers_ ABSL_GUARDED_BY(mutex_) = 0;
  // Last, so that they stop first. Each worker runs one shard; there are as many as it ever had at
  // once.
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::learner
