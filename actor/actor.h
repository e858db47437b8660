// An actor: worker threads that run units, and a stream to a learner that gives them. Keeps no
// state beyond the units in hand; survives a learner that goes away, and goes to another one when
// it knows several. Units of several experiments take turns (common/turns.h), and one that is
// cancelled, or whose environment takes too long, ends at its next pause point. Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/channel.h>

#include "actor/learner_list.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "common/rpc/channel.h"
#include "common/rpc/stream.h"
#include "common/turns.h"
#include "common/uuid.h"
#include "mentor/v1/rollout_service.grpc.pb.h"

namespace mentor::actor {

class Actor {
 public:
  struct Options {
    int threads = 1;  // That compute at once.
    // Known by this at all learners, whatever becomes of a connection.
    std::string uid = NewUuid();
    // To the only learner; called for each connection.
    std::function<std::shared_ptr<grpc::Channel>()> channel = {};
    // Or several, made with `uid`; outlives the actor.
    LearnerList* learners = nullptr;
    // An actor without work for so long asks other learners whether they have some.
    std::chrono::milliseconds look_every{5'000};
    // When it leaves a learner or ends: units that run for longer are cut, and done elsewhere.
    std::chrono::milliseconds drain_deadline{5'000};
    // A reset or a step that computes for longer is an error of its unit.
    std::chrono::milliseconds piece_deadline{60'000};
    // Called when it ends and has waited long enough for units that run: whatever they wait for.
    std::function<void()> interrupt = {};
    // Called when somebody wants it to end; its owner then calls Stop. From any thread.
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
  struct Unit;
  struct Worker;
  struct Instruments;

  void Connect();
  // Until the next attempt at one of several is due; false when it stops.
  bool WaitForLearner();
  // nullopt when it is leaving.
  std::optional<WorkStream::Handlers> Open(std::shared_ptr<WorkStream> stream);
  void OnMessage(const std::shared_ptr<Connection>& connection, v1::WorkResponse message);
  void Work(Worker* worker);
  void Run(Worker* worker, const std::shared_ptr<Unit>& unit) ABSL_LOCKS_EXCLUDED(mutex_);
  // Asks for places when a slice of time is over, and ends what takes too long.
  void WatchTime();
  // A unit that was asked waits for its turn; an error: why it ends.
  absl::Status AtPausePoint(Unit* unit);
  // Asks whoever must make place, and lets units begin or go on.
  void FillPlacesLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void BeginLocked(Unit* unit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // It ends at its next pause point.
  void EndLocked(Unit* unit, absl::Status why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same, and nobody hears of it.
  void AbandonLocked(Unit* unit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Drops the units of a connection that have not begun; how many.
  size_t DropLocked(const Connection* connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Before anything that changes how many units compute.
  void CountIdleLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Goes where there is work.
  void Look(const std::stop_token& stop);
  // Tells the learner, and drops its units that nobody has begun.
  void LeaveLocked(const std::shared_ptr<Connection>& connection)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Fixed after construction.
  const Options options_;
  const std::unique_ptr<Instruments> instruments_;
  rpc::Reconnector reconnector_;
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;  // running_, stopping_ or what WatchTime waits for.
  Turns turns_ ABSL_GUARDED_BY(mutex_);
  std::map<Turns::Id, std::shared_ptr<Unit>> units_ ABSL_GUARDED_BY(mutex_);  // In hand.
  int running_ ABSL_GUARDED_BY(mutex_) = 0;                                   // That have begun.
  uint64_t received_ ABSL_GUARDED_BY(mutex_) = 0;  // Units so far; numbers them.
  std::chrono::steady_clock::time_point idle_since_ ABSL_GUARDED_BY(mutex_);
  bool watches_closely_ ABSL_GUARDED_BY(mutex_) = false;  // WatchTime looks at each slice.
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool told_to_leave_ ABSL_GUARDED_BY(mutex_) = false;  // By the learner.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Last, so that they stop first.
  std::thread connector_;
  std::vector<std::unique_ptr<Worker>> workers_ ABSL_GUARDED_BY(mutex_);
  std::thread watch_;
  std::jthread scout_;
};

}  // namespace mentor::actor
