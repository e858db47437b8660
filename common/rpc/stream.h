// One bidirectional stream, for both ends and for every service whose messages have the members
// `heartbeat` and `chunk` (stream.proto). It handles the difficult rules of gRPC's callback API. At
// most one write is in flight. Finish is called once, with no write in flight. It reads until the
// end, and lives until OnDone. It adds:
//
//   outbox     Send queues a message and never blocks. The queue is bounded in items and
//              bytes. A peer that does not accept requested messages is ended with
//              RESOURCE_EXHAUSTED. Credit, a layer above, provides back-pressure.
//   chunks     Messages above chunk_bytes travel in pieces; heartbeats may come between them.
//   heartbeat  Sent once per interval. A peer that is silent for dead_after is ended with
//              UNAVAILABLE PEER_SILENT.
//
// Events come from gRPC's threads, one at a time for each stream, with no lock held. on_message is
// called for each message in order, then on_closed exactly once. The handlers are then destroyed,
// so they may hold the stream. Handlers must not block. Send and Close are thread-safe and may be
// called from handlers. The stream keeps itself alive until on_closed.
//
// Server: in the callback service's method
//   auto stream = rpc::ServerStream<v1::WorkResponse, v1::WorkRequest>::Make(context, options);
//   stream->Start({.on_message = ..., .on_closed = ...});
//   return stream->reactor();
// Client:
//   auto stream = rpc::ClientStream<v1::WorkRequest, v1::WorkResponse>::Make(options);
//   stream->Start(handlers, [&](auto* context, auto* reactor) {
//     stub->async()->Work(context, reactor);
//   });
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/server_callback.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include "common/mutex.h"
#include "common/rpc/callback_threads.h"
#include "common/rpc/chunks.h"
#include "common/rpc/grpc_status.h"
#include "common/status.h"

namespace mentor::rpc {

// Streams of all servers of this process together.
inline constexpr int kStreamsMax = 4096;

// A slot for one stream, held for the stream's whole life. A reactor has it as a member; a stream
// without a slot ends at once with status().
class StreamSlot {
 public:
  StreamSlot() : taken_(count_.fetch_add(1, std::memory_order_relaxed) < limit_.load()) {}
  ~StreamSlot() { count_.fetch_sub(1, std::memory_order_relaxed); }
  StreamSlot(const StreamSlot&) = delete;
  StreamSlot& operator=(const StreamSlot&) = delete;

  absl::Status status() const {
    if (taken_) return absl::OkStatus();
    return WithRetryDelay(
        MakeError(Reason::kTooManyStreams,
                  absl::StrCat("this server has ", limit_.load(), " streams and takes no more")),
        std::chrono::seconds(5));
  }
  // Tests only.
  static void SetLimit(int limit) { limit_ = limit; }

 private:
  inline static std::atomic<int> count_{0};
  inline static std::atomic<int> limit_{kStreamsMax};
  const bool taken_;
};

// Counters of a stream; members may be null. They must outlive the stream.
struct StreamMetrics {
  prometheus::Counter* messages_sent = nullptr;
  prometheus::Counter* messages_received = nullptr;
  prometheus::Counter* bytes_sent = nullptr;
  prometheus::Counter* bytes_received = nullptr;
  prometheus::Histogram* round_trip_seconds = nullptr;
};

struct StreamOptions {
  std::chrono::milliseconds heartbeat{1000};
  std::chrono::milliseconds dead_after{5000};
  // Time limit from Close to the end; then the call is cancelled.
  std::chrono::milliseconds close_within{5000};
  // Time limit from the first piece of a long message to its last.
  std::chrono::milliseconds reassemble_within{60000};
  size_t chunk_bytes = 1 << 20;
  size_t message_bytes_max = 64u << 20;
  size_t outbox_items_max = 8192;
  size_t outbox_bytes_max = 256u << 20;
  StreamMetrics metrics = {};
};

// message_bytes_max between learners and the meta-learner. A segment of 128 lifetimes with 2000
// steps of Meta-World has about 50 MB.
inline constexpr size_t kShardMessageBytesMax = size_t{512} << 20;

// What does not depend on the types of the messages. Finds the two members by reflection.
class MessageStream : public std::enable_shared_from_this<MessageStream> {
 public:
  virtual ~MessageStream() = default;
  MessageStream(const MessageStream&) = delete;
  MessageStream& operator=(const MessageStream&) = delete;

  // OK: sends the queued messages, then ends the stream. An error: drops the queued messages and
  // ends the stream at once; a server sends the status to the peer. on_closed receives this status.
  // If Close is called several times, the first error counts.
  void Close(absl::Status status);

  // Returns the queued items and bytes.
  std::pair<size_t, size_t> Queued() const;
  // Returns the last measured round trip.
  std::optional<std::chrono::nanoseconds> RoundTrip() const;

 protected:
  using Message = google::protobuf::Message;
  struct MessageHandlers {
    std::function<void(Message&)> on_message;  // May move the message away.
    std::function<void(const absl::Status&)> on_closed;
  };

  // `out` and `in`: any message of each direction. `server`: null at a client; belongs to the call
  // and outlives the stream's events.
  MessageStream(const StreamOptions& options, const Message& out, const Message& in,
                grpc::CallbackServerContext* server);

  // Operations of gRPC's reactors. Called with the mutex held.
  virtual void TransportRead(Message* message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  virtual void TransportWrite(const Message* message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  // Ends the writes: Finish at a server, half-close at a client (only with OK). Called once, with
  // no write in flight.
  virtual void TransportEnd(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  // Called after the last read.
  virtual void TransportReadsOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {}

  // See Stream::Send.
  bool SendMessage(std::unique_ptr<Message> message);

  // Reactions to gRPC's events.
  void Begin(MessageHandlers handlers);
  void ReadDone(bool ok);
  void WriteDone(bool ok);
  void Cancelled();
  void Done(const absl::Status& transport_status);

  // Guards everything below except what only ReadDone uses. Every reaction locks it.
  mutable Mutex mutex_;

  // A client's call. Reset at the end of the call, since it holds the channel.
  std::optional<grpc::ClientContext> client_;

 private:
  using Clock = std::chrono::steady_clock;
  enum class Phase {
    kNew,
    kOpen,
    kFlushing,  // Close(OK): the outbox is sent first.
    // Close(error), a protocol violation or a dead peer: ends once no write is in flight.
    kAborting,
    kEnded,  // TransportEnd was called, or the call is known to be dead at a client.
    kDone,
  };
  // A message, or the serialised bytes of a long one.
  using Item = std::variant<std::unique_ptr<Message>, std::string>;
  // The members of a direction's messages that are the stream's own.
  struct Members {
    explicit Members(const Message& message);
    const google::protobuf::FieldDescriptor *heartbeat, *chunk;
  };

  // True if the end of the peer's messages requires the end of ours, and TransportEnd ends the
  // call.
  bool is_server() const { return server_ != nullptr; }

  void CloseLocked(Phase phase, absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetPhase(Phase phase) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // Forward only.
  void Drop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);                 // Drops the queued messages.
  void Pump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteHeartbeat() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteChunk() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Write(std::unique_ptr<Message> message, size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Cancel() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetAlarm() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Tick();
  // Returns true if reading_ is now a message for the handler, and an error if it violates a rule.
  absl::StatusOr<bool> Receive();
  void ReceiveHeartbeat(const v1::Heartbeat& heartbeat, Clock::time_point now);
  absl::StatusOr<bool> ReceiveChunk(const v1::Chunk& chunk, Clock::time_point now);

  // Fixed after construction.
  const StreamOptions options_;
  const Message& out_;
  const Members out_members_, in_members_;
  grpc::CallbackServerContext* const server_;
  std::optional<StreamSlot> slot_;  // At a server.

  // Used only by ReadDone; reads come one at a time.
  const std::unique_ptr<Message> reading_;
  Reassembler reassembler_;

  Phase phase_ ABSL_GUARDED_BY(mutex_) = Phase::kNew;
  std::shared_ptr<MessageHandlers> handlers_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<MessageStream> self_ ABSL_GUARDED_BY(mutex_);  // From Begin to Done.
  std::deque<std::pair<Item, size_t>> outbox_ ABSL_GUARDED_BY(mutex_);
  size_t outbox_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<Splitter> splitter_ ABSL_GUARDED_BY(mutex_);  // The long message being sent.
  uint64_t long_messages_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<Message> writing_ ABSL_GUARDED_BY(mutex_);
  bool write_in_flight_ ABSL_GUARDED_BY(mutex_) = false;
  // The transport reported that the call is broken.
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_by_us_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> reason_ ABSL_GUARDED_BY(mutex_);  // Why this end closed the stream.
  bool heartbeat_due_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t heartbeats_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t echo_time_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  Clock::time_point echo_received_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::chrono::nanoseconds> round_trip_ ABSL_GUARDED_BY(mutex_);
  Clock::time_point last_received_ ABSL_GUARDED_BY(mutex_);
  Clock::time_point last_tick_ ABSL_GUARDED_BY(mutex_);
  Clock::time_point closing_since_ ABSL_GUARDED_BY(mutex_);
  std::optional<Clock::time_point> reassembling_since_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
};

template <typename Out, typename In>
class Stream : public MessageStream {
 public:
  struct Handlers {
    std::function<void(In)> on_message;
    std::function<void(const absl::Status&)> on_closed;
  };

  // Returns false if the stream is closing or closed, or if the outbox overflows (which closes it).
  bool Send(Out message) { return SendMessage(std::make_unique<Out>(std::move(message))); }

 protected:
  Stream(const StreamOptions& options, grpc::CallbackServerContext* server)
      : MessageStream(options, Out::default_instance(), In::default_instance(), server) {}

  void Begin(Handlers handlers) {
    MessageStream::Begin(
        {.on_message = [own = std::move(handlers.on_message)](
                           Message& message) { own(std::move(static_cast<In&>(message))); },
         .on_closed = std::move(handlers.on_closed)});
  }
};

// The server's end. Created by the service's method, kept alive by the call itself.
template <typename Out, typename In>
class ServerStream final : public Stream<Out, In>, private grpc::ServerBidiReactor<In, Out> {
 public:
  using typename Stream<Out, In>::Handlers;

  static std::shared_ptr<ServerStream> Make(grpc::CallbackServerContext* context,
                                            const StreamOptions& options) {
    return std::shared_ptr<ServerStream>(new ServerStream(context, options));
  }
  void Start(Handlers handlers) { this->Begin(std::move(handlers)); }
  grpc::ServerBidiReactor<In, Out>* reactor() { return this; }

 private:
  using typename MessageStream::Message;

  ServerStream(grpc::CallbackServerContext* context, const StreamOptions& options)
      : Stream<Out, In>(options, context) {}

  void TransportRead(Message* message) override { this->StartRead(static_cast<In*>(message)); }
  void TransportWrite(const Message* message) override {
    this->StartWrite(static_cast<const Out*>(message));
  }
  void TransportEnd(const absl::Status& status) override { this->Finish(ToGrpc(status)); }

  void OnReadDone(bool ok) override { this->ReadDone(ok); }
  void OnWriteDone(bool ok) override { this->WriteDone(ok); }
  void OnCancel() override { this->Cancelled(); }
  void OnDone() override { this->Done(absl::OkStatus()); }
};

template <typename Out, typename In>
class ClientStream final : public Stream<Out, In>, private grpc::ClientBidiReactor<Out, In> {
 public:
  using typename Stream<Out, In>::Handlers;

  static std::shared_ptr<ClientStream> Make(const StreamOptions& options) {
    return std::shared_ptr<ClientStream>(new ClientStream(options));
  }
  // call(context, reactor) starts the stub's method.
  template <typename Call>
  void Start(Handlers handlers, Call call) {
    KeepCallbackThreads();
    call(&context(), static_cast<grpc::ClientBidiReactor<Out, In>*>(this));
    this->AddHold();  // Any thread may write; RemoveHold follows the last read.
    this->Begin(std::move(handlers));
    this->StartCall();
  }
  // For metadata; only before Start.
  grpc::ClientContext& context() { return *this->client_; }

 private:
  using typename MessageStream::Message;

  explicit ClientStream(const StreamOptions& options) : Stream<Out, In>(options, nullptr) {}

  void TransportRead(Message* message) override { this->StartRead(static_cast<In*>(message)); }
  void TransportWrite(const Message* message) override {
    this->StartWrite(static_cast<const Out*>(message));
  }
  void TransportEnd(const absl::Status&) override { this->StartWritesDone(); }
  void TransportReadsOver() override { this->RemoveHold(); }

  void OnReadDone(bool ok) override { this->ReadDone(ok); }
  void OnWriteDone(bool ok) override { this->WriteDone(ok); }
  void OnDone(const grpc::Status& status) override { this->Done(FromGrpc(status)); }
};

}  // namespace mentor::rpc
