// An actor: worker threads that run units, and a stream to a learner that gives them. Keeps no state beyond the units in
// hand; survives a learner that goes away. Thread-safe.
#pragma once

#include <condition_variable>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/channel.h>

#include "common/metrics.h"
#include "common/rpc/channel.h"
#include "common/rpc/stream.h"
#include "mentor/v1/rollout_service.grpc.pb.h"

namespace mentor::actor {

class Actor {
 public:
  struct Options {
    int threads = 1;
    std::function<std::shared_ptr<grpc::Channel>()> channel;  // To the learner; called for each connection.
    std::chrono::milliseconds drain_deadline{10'000};
    std::function<void()> on_drain = {};  // The learner wants it to leave: whoever owns it calls Stop. From any thread.
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
  void OnMessage(const std::shared_ptr<Connection>& connection, v1::WorkResponse message);
  void Work();

  // Fixed after construction.
  const Options options_;
  const std::unique_ptr<Instruments> instruments_;
  rpc::Reconnector reconnector_;
  // Guarded by mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> queue_;
  int running_ = 0;
  std::shared_ptr<Connection> connection_;
  bool draining_ = false;
  bool stopping_ = false;
  // Last, so that they stop first.
  std::thread connector_;
  std::vector<std::thread> workers_;
};

}  // namespace mentor::actor
