// Streams of answers, the same for watches, points, logs and downloads: one message is in memory at
// a time, the next one is made when it is out, on the executor's threads. So a slow reader costs
// nothing but its place.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <grpcpp/support/server_callback.h>

#include "common/rpc/status.h"
#include "meta_learner/control/executor.h"

namespace mentor::meta_learner {

enum class Produced {
  kMessage,  // Write it, then ask again.
  kLast,     // Write it; nothing follows.
  kNothing,  // Ask again after the next Poke.
  kEnd,      // Nothing follows.
};

// A stream as its registry sees it.
class AnyStream {
 public:
  virtual ~AnyStream() = default;
  // Something changed, or time has passed: there may be more to say.
  virtual void Poke() = 0;
  virtual void End(const absl::Status& status) = 0;
};

// Every stream that is open, by caller. Thread-safe.
class StreamRegistry {
 public:
  StreamRegistry(size_t streams_max, size_t per_caller_max)
      : streams_max_(streams_max), per_caller_max_(per_caller_max) {}

  // Keeps the stream. An error: it has no place, or Stop was called; it is kept all the same until
  // Remove, since its end has to be said.
  absl::Status Add(const std::shared_ptr<AnyStream>& stream, const std::string& caller);
  void Remove(const AnyStream* stream);
  void PokeAll();
  // Ends all with this status, and those that come later.
  void Stop(const absl::Status& status);
  size_t size() const;

 private:
  const size_t streams_max_, per_caller_max_;
  mutable std::mutex mutex_;
  std::map<const AnyStream*, std::pair<std::shared_ptr<AnyStream>, std::string>> streams_;
  std::map<std::string, size_t> by_caller_;
  absl::Status stopped_;
};

template <typename Response>
class PullStream final : public grpc::ServerWriteReactor<Response>,
                         public AnyStream,
                         public std::enable_shared_from_this<PullStream<Response>> {
 public:
  // Called on the executor, one call at a time.
  using Produce = std::function<absl::StatusOr<Produced>(Response*)>;

  // Opens a stream and begins to produce. Until the registry's Stop the executor must be there.
  static grpc::ServerWriteReactor<Response>* Start(std::shared_ptr<StreamRegistry> registry,
                                                   Executor* executor, const std::string& caller,
                                                   Produce produce) {
    auto stream =
        std::shared_ptr<PullStream>(new PullStream(registry, executor, std::move(produce)));
    if (const absl::Status added = registry->Add(stream, caller); !added.ok()) {
      stream->End(added);
    } else {
      stream->Poke();
    }
    return stream.get();
  }

  void Poke() override {
    const std::lock_guard lock(mutex_);
    if (end_) return;
    if (busy_) {
      again_ = true;
      return;
    }
    busy_ = true;
    PostLocked();
  }

  void End(const absl::Status& status) override {
    const std::lock_guard lock(mutex_);
    EndLocked(rpc::ToGrpc(status));
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok && !end_) end_ = grpc::Status::CANCELLED;
    if (end_) {
      this->Finish(*end_);
    } else {
      PostLocked();
    }
  }
  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    EndLocked(grpc::Status::CANCELLED);
  }
  void OnDone() override {
    std::shared_ptr<PullStream> self;
    {
      const std::lock_guard lock(mutex_);
      self = this->shared_from_this();
    }
    registry_->Remove(this);
  }

 private:
  PullStream(std::shared_ptr<StreamRegistry> registry, Executor* executor, Produce produce)
      : registry_(std::move(registry)), executor_(executor), produce_(std::move(produce)) {}

  void Run() {
    Response response;
    const absl::StatusOr<Produced> produced = produce_(&response);
    const std::lock_guard lock(mutex_);
    if (end_) return;
    if (!produced.ok() || *produced == Produced::kEnd) {
      EndLocked(rpc::ToGrpc(produced.status()));
      return;
    }
    if (*produced == Produced::kNothing) {
      if (std::exchange(again_, false)) {
        PostLocked();
      } else {
        busy_ = false;
      }
      return;
    }
    if (*produced == Produced::kLast) end_ = grpc::Status::OK;
    response_ = std::move(response);
    writing_ = true;
    this->StartWrite(&response_);
  }

  // With mutex_ held, as those below.
  void PostLocked() {
    const bool posted = executor_->PostAlways([self = this->shared_from_this()] { self->Run(); });
    if (!posted) EndLocked(grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping"));
  }
  void EndLocked(const grpc::Status& status) {
    if (end_) return;
    end_ = status;
    if (!writing_) this->Finish(*end_);
  }

  // Fixed after construction.
  const std::shared_ptr<StreamRegistry> registry_;
  Executor* const executor_;
  const Produce produce_;
  // Guarded by mutex_.
  std::mutex mutex_;
  bool busy_ = false;   // A Run is in line or at work, or its message on its way.
  bool again_ = false;  // Poked meanwhile.
  bool writing_ = false;
  std::optional<grpc::Status> end_;  // Set: nothing follows but the message being written.
  Response response_;
};

}  // namespace mentor::meta_learner
