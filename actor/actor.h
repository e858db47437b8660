// An actor: worker threads that run units, and a stream to a learner that gives them. Keeps no
// state beyond the units in hand; survives a learner that goes away. Thread-safe.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
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
#include "mentor/v1/rollout_service.grpc.pb.h"

namespace mentor::actor {

class Actor {
 public:
  struct Options {
    int threads = 1;
    // To the learner; called for each connection.
    std::function<std::shared_ptr<grpc::Channel>()> channel;
    std::chrono::milliseconds drain_deadline{10'000};
    // Called when the learner wants it to leave; its owner then calls Stop. From any thread.
    std::function<void()> on_drain = {};
  };
  // Begins to connect. Metrics outlive the actor.
  Actor(Options options, Metrics* metrics);
  ~Actor();

  // Tells the learner, finishes the units that run and ends; those that wait go to other actors.
  void Stop();

 private:
  using WorkStream = rpc::Stream<v1::WorkRequest, v1::WorkResponse>;
  struct Connection;
  struct Task {
    v1::Unit unit;
    std::shared_ptr<Connection> connection;
    std::chrono::steady_clock::time_point received;
  };
  struct Instruments;

  void Connect();
  // nullopt when it is leaving.
  std::optional<WorkStream::Handlers> Open(std::shared_ptr<WorkStream> stream);
  void OnMessage(const std::shared_ptr<Connection>& connection, v1::WorkResponse message);
  void Work();

  // Fixed after construction.
  const Options options_;
  const std::unique_ptr<Instruments> instruments_;
  rpc::Reconnector reconnector_;
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;
  std::deque<Task> queue_ ABSL_GUARDED_BY(mutex_);
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool told_to_leave_ ABSL_GUARDED_BY(mutex_) = false;  // By the learner.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Last, so that they stop first.
  std::thread connector_;
  std::vector<std::thread> workers_;
};

}  // namespace mentor::actor
