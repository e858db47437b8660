// Streams of answers for watches, points, logs and downloads. Only one message is in memory at a
// time, as the bytes that are sent; the executor's threads make the next one when it is written. So
// a slow reader costs its place and one message. What produces the messages keeps to this: it reads
// the next piece of the store or of a file when its turn comes.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "common/mutex.h"
#include "common/rpc/executor.h"
#include "common/rpc/grpc_status.h"

namespace mentor::meta_learner {

enum class Produced {
  kMessage,  // Write it, then ask again.
  kLast,     // Write it; nothing follows.
  kNothing,  // Ask again after the next Poke.
  kAgain,    // Nothing to write yet: ask again after the others' turns.
  kEnd,      // Nothing follows.
};

// Interface of a stream for its registry.
class AnyStream {
 public:
  virtual ~AnyStream() = default;
  // Looks for more messages. Call after changes and from time to time.
  virtual void Poke() = 0;
  virtual void End(const absl::Status& status) = 0;
};

// Every open stream, by caller. Thread-safe.
class StreamRegistry {
 public:
  StreamRegistry(size_t streams_max, size_t per_caller_max)
      : streams_max_(streams_max), per_caller_max_(per_caller_max) {}

  // Keeps the stream until Remove. Returns an error when there is no place for it, or Stop was
  // called. Keeps the stream even then, since its end must be sent.
  absl::Status Add(const std::shared_ptr<AnyStream>& stream, const std::string& caller);
  void Remove(const AnyStream* stream);
  void PokeAll();
  // Ends all streams with this status, including streams that are added later.
  void Stop(const absl::Status& status);
  size_t size() const;

 private:
  const size_t streams_max_, per_caller_max_;
  mutable Mutex mutex_;
  std::map<const AnyStream*, std::pair<std::shared_ptr<AnyStream>, std::string>> streams_
      ABSL_GUARDED_BY(mutex_);
  std::map<std::string, size_t> by_caller_ ABSL_GUARDED_BY(mutex_);
  absl::Status stopped_ ABSL_GUARDED_BY(mutex_);
};

template <typename Response>
class PullStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                         public AnyStream,
                         public std::enable_shared_from_this<PullStream<Response>> {
 public:
  // Called on the executor, one call at a time.
  using Produce = std::function<absl::StatusOr<Produced>(Response*)>;

  // Opens a stream of this caller and begins to produce. The executor must live until the
  // registry's Stop. Sets *cancel when the stream ends.
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(
      std::shared_ptr<StreamRegistry> registry, rpc::Executor* executor, const std::string& caller,
      std::shared_ptr<std::atomic<bool>> cancel, Produce produce) {
    auto stream = std::shared_ptr<PullStream>(
        new PullStream(registry, executor, caller, std::move(cancel), std::move(produce)));
    if (const absl::Status added = registry->Add(stream, caller); !added.ok()) {
      stream->End(added);
    } else {
      stream->Poke();
    }
    return stream.get();
  }

  void Poke() override {
    const MutexLock lock(mutex_);
    if (end_) return;
    if (busy_) {
      again_ = true;
      return;
    }
    busy_ = true;
    PostLocked();
  }

  void End(const absl::Status& status) override {
    const MutexLock lock(mutex_);
    EndLocked(rpc::ToGrpc(status));
  }

  void OnWriteDone(bool ok) override {
    const MutexLock lock(mutex_);
    writing_ = false;
    message_.Clear();
    if (!ok && !end_) end_ = grpc::Status::CANCELLED;
    if (end_) {
      this->Finish(*end_);
    } else {
      PostLocked();
    }
  }
  void OnCancel() override {
    const MutexLock lock(mutex_);
    EndLocked(grpc::Status::CANCELLED);
  }
  void OnDone() override {
    std::shared_ptr<PullStream> self;
    {
      const MutexLock lock(mutex_);
      self = this->shared_from_this();
    }
    registry_->Remove(this);
  }

 private:
  PullStream(std::shared_ptr<StreamRegistry> registry, rpc::Executor* executor, std::string caller,
             std::shared_ptr<std::atomic<bool>> cancel, Produce produce)
      : registry_(std::move(registry)),
        executor_(executor),
        caller_(std::move(caller)),
        cancel_(std::move(cancel)),
        produce_(std::move(produce)) {}

  void Run() {
    grpc::ByteBuffer message;
    const absl::StatusOr<Produced> produced = ProduceMessage(&message);
    const MutexLock lock(mutex_);
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
    if (*produced == Produced::kAgain) return PostLocked();
    if (*produced == Produced::kLast) end_ = grpc::Status::OK;
    message_.Swap(&message);
    writing_ = true;
    this->StartWrite(&message_);
  }

  // A message for a reader that does not read waits as its bytes: parsed it takes many times more.
  absl::StatusOr<Produced> ProduceMessage(grpc::ByteBuffer* message) {
    Response response;
    absl::StatusOr<Produced> produced = produce_(&response);
    if (produced.ok() && (*produced == Produced::kMessage || *produced == Produced::kLast)) {
      bool own_buffer = false;
      const grpc::Status written =
          grpc::SerializationTraits<Response>::Serialize(response, message, &own_buffer);
      if (!written.ok()) return absl::InternalError(written.error_message());
    }
    return produced;
  }

  void PostLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const bool posted =
        executor_->PostAlways([self = this->shared_from_this()] { self->Run(); }, caller_);
    if (!posted) EndLocked(grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping"));
  }
  void EndLocked(const grpc::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (end_) return;
    end_ = status;
    *cancel_ = true;
    if (!writing_) this->Finish(*end_);
  }

  const std::shared_ptr<StreamRegistry> registry_;
  rpc::Executor* const executor_;
  const std::string caller_;
  const std::shared_ptr<std::atomic<bool>> cancel_;
  const Produce produce_;
  // Guarded by mutex_.
  Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) =
      false;  // A Run is queued or running, or its message is being written.
  bool again_ ABSL_GUARDED_BY(mutex_) = false;  // Poked while busy_.
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_
      ABSL_GUARDED_BY(mutex_);  // Set: only the message being written follows.
  grpc::ByteBuffer message_ ABSL_GUARDED_BY(mutex_);  // While writing_.
};

}  // namespace mentor::meta_learner
