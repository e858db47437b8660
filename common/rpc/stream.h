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
#include <absl/strings/str_cat.h>
#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/server_callback.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/mutex.h"
#include "common/rpc/callback_threads.h"
#include "common/rpc/chunks.h"
#include "common/rpc/known_peers.h"
#include "common/rpc/status.h"
#include "common/rpc/stream_limit.h"
#include "common/status.h"
#include "mentor/v1/stream.pb.h"

namespace mentor::rpc {

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

template <typename Out, typename In>
class Stream : public std::enable_shared_from_this<Stream<Out, In>> {
 public:
  struct Handlers {
    std::function<void(In)> on_message;
    std::function<void(const absl::Status&)> on_closed;
  };

  virtual ~Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Returns false if the stream is closing or closed, or if the outbox overflows (which closes it).
  bool Send(Out message);
  // OK: sends the queued messages, then ends the stream. An error: drops the queued messages and
  // ends the stream at once; a server sends the status to the peer. on_closed receives this status.
  // If Close is called several times, the first error counts.
  void Close(absl::Status status);

  // Returns the queued items and bytes.
  std::pair<size_t, size_t> Queued() const;
  // Returns the last measured round trip.
  std::optional<std::chrono::nanoseconds> RoundTrip() const;

 protected:
  explicit Stream(const StreamOptions& options)
      : options_(options),
        reassembler_({.chunk_bytes_max = options.chunk_bytes,
                      .message_bytes_max = options.message_bytes_max}) {}

  // Operations that differ between the two ends. Called with the mutex held.
  virtual void TransportRead(In* message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  virtual void TransportWrite(const Out* message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  // Ends the writes: Finish at a server, half-close at a client. Called once, with no write in
  // flight.
  virtual void TransportEnd(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  virtual void TransportCancel() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  // Called after the last read.
  virtual void TransportReadsOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  // The call is over: releases its resources, before on_closed.
  virtual void TransportDone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  // True if the end of the peer's messages requires the end of ours, and TransportEnd ends the
  // call.
  virtual bool is_server() const = 0;

  // Reactions to gRPC's events.
  void Begin(Handlers handlers);
  void ReadDone(bool ok);
  void WriteDone(bool ok);
  void Cancelled();
  void Done(const absl::Status& transport_status);

  // Guards everything below except what only ReadDone uses. Every reaction locks it.
  mutable Mutex mutex_;

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
  using Item = std::variant<Out, std::string>;

  // With mutex_ held.
  void CloseLocked(Phase phase, absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetPhase(Phase phase) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // Forward only.
  void Drop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);                 // Drops the queued messages.
  void Pump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Write(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetAlarm() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Tick();
  // Returns nullopt if the message is not for the handler, and an error if it violates a rule.
  absl::StatusOr<std::optional<In>> Receive();
  static void Count(prometheus::Counter* counter, double value) {
    if (counter != nullptr) counter->Increment(value);
  }

  // Fixed after construction.
  const StreamOptions options_;

  // Used only by ReadDone; reads come one at a time.
  In reading_;
  Reassembler reassembler_;

  // Guarded by mutex_.
  Phase phase_ ABSL_GUARDED_BY(mutex_) = Phase::kNew;
  std::shared_ptr<Handlers> handlers_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Stream> self_ ABSL_GUARDED_BY(mutex_);  // From Begin to Done.
  std::deque<std::pair<Item, size_t>> outbox_ ABSL_GUARDED_BY(mutex_);
  size_t outbox_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<Splitter> splitter_ ABSL_GUARDED_BY(mutex_);  // The long message being sent.
  uint64_t long_messages_ ABSL_GUARDED_BY(mutex_) = 0;
  Out writing_ ABSL_GUARDED_BY(mutex_);
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

// The server's end. Created by the service's method, kept alive by the call itself.
template <typename Out, typename In>
class ServerStream final : public Stream<Out, In>, private grpc::ServerBidiReactor<In, Out> {
 public:
  using typename Stream<Out, In>::Handlers;

  // `context` belongs to the call and outlives the stream's events.
  static std::shared_ptr<ServerStream> Make(grpc::CallbackServerContext* context,
                                            const StreamOptions& options) {
    return std::shared_ptr<ServerStream>(new ServerStream(context, options));
  }
  void Start(Handlers handlers) {
    this->Begin(std::move(handlers));
    if (absl::Status status = slot_.status(); !status.ok()) this->Close(std::move(status));
  }
  grpc::ServerBidiReactor<In, Out>* reactor() { return this; }

 private:
  ServerStream(grpc::CallbackServerContext* context, const StreamOptions& options)
      : Stream<Out, In>(options), context_(context) {
    KnownPeers::Add(context->peer());
  }

  void TransportRead(In* message) override { this->StartRead(message); }
  void TransportWrite(const Out* message) override { this->StartWrite(message); }
  void TransportEnd(const absl::Status& status) override { this->Finish(ToGrpc(status)); }
  void TransportCancel() override { context_->TryCancel(); }
  void TransportReadsOver() override {}
  void TransportDone() override {}
  bool is_server() const override { return true; }

  void OnReadDone(bool ok) override { this->ReadDone(ok); }
  void OnWriteDone(bool ok) override { this->WriteDone(ok); }
  void OnCancel() override { this->Cancelled(); }
  void OnDone() override { this->Done(absl::OkStatus()); }

  grpc::CallbackServerContext* const context_;
  const StreamSlot slot_;
};

// The client's end.
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
    call(&*context_, static_cast<grpc::ClientBidiReactor<Out, In>*>(this));
    this->AddHold();  // Any thread may write; RemoveHold follows the last read.
    this->Begin(std::move(handlers));
    this->StartCall();
  }
  // For metadata; only before Start.
  grpc::ClientContext& context() { return *context_; }

 private:
  explicit ClientStream(const StreamOptions& options) : Stream<Out, In>(options) {}

  void TransportRead(In* message) override { this->StartRead(message); }
  void TransportWrite(const Out* message) override { this->StartWrite(message); }
  void TransportEnd(const absl::Status& status) override {
    if (status.ok()) {
      this->StartWritesDone();
    } else {
      context_->TryCancel();
    }
  }
  void TransportCancel() override { context_->TryCancel(); }
  void TransportReadsOver() override { this->RemoveHold(); }
  void TransportDone() override { context_.reset(); }
  bool is_server() const override { return false; }

  void OnReadDone(bool ok) override { this->ReadDone(ok); }
  void OnWriteDone(bool ok) override { this->WriteDone(ok); }
  void OnDone(const grpc::Status& status) override { this->Done(FromGrpc(status)); }

  // Reset at the end of the call, since it holds the channel.
  std::optional<grpc::ClientContext> context_{std::in_place};
};

// --- Implementation.

template <typename Out, typename In>
bool Stream<Out, In>::Send(Out message) {
  const size_t bytes = message.ByteSizeLong();
  Item item;
  if (bytes > options_.message_bytes_max) {
    Close(MakeError(absl::StatusCode::kResourceExhausted, Reason::kMessageTooLong,
                    "a message to the peer has " + std::to_string(bytes) + " bytes, the limit is " +
                        std::to_string(options_.message_bytes_max)));
    return false;
  }
  if (bytes > options_.chunk_bytes) {
    item = message.SerializeAsString();  // Done outside the lock.
  } else {
    item = std::move(message);
  }
  MutexLock lock(mutex_);
  if (phase_ != Phase::kOpen) return false;
  if (outbox_.size() >= options_.outbox_items_max ||
      outbox_bytes_ + bytes > options_.outbox_bytes_max) {
    CloseLocked(
        Phase::kAborting,
        MakeError(absl::StatusCode::kResourceExhausted, Reason::kQueueFull,
                  "the peer does not take its messages: " + std::to_string(outbox_.size()) +
                      " messages and " + std::to_string(outbox_bytes_) + " bytes are in line"));
    return false;
  }
  outbox_.emplace_back(std::move(item), bytes);
  outbox_bytes_ += bytes;
  Pump();
  return true;
}

template <typename Out, typename In>
void Stream<Out, In>::Close(absl::Status status) {
  MutexLock lock(mutex_);
  const Phase phase = status.ok() ? Phase::kFlushing : Phase::kAborting;
  CloseLocked(phase, std::move(status));
}

template <typename Out, typename In>
std::pair<size_t, size_t> Stream<Out, In>::Queued() const {
  MutexLock lock(mutex_);
  return {outbox_.size(), outbox_bytes_};
}

template <typename Out, typename In>
std::optional<std::chrono::nanoseconds> Stream<Out, In>::RoundTrip() const {
  MutexLock lock(mutex_);
  return round_trip_;
}

template <typename Out, typename In>
void Stream<Out, In>::Begin(Handlers handlers) {
  MutexLock lock(mutex_);
  MENTOR_CHECK(phase_ == Phase::kNew);
  phase_ = Phase::kOpen;
  handlers_ = std::make_shared<Handlers>(std::move(handlers));
  self_ = this->shared_from_this();
  last_received_ = last_tick_ = Clock::now();
  SetAlarm();
  TransportRead(&reading_);
  if (const auto error = MENTOR_FAILPOINT("rpc.stream.open")) {
    CloseLocked(Phase::kAborting, absl::UnavailableError(*error));
  }
}

// An abort may follow a flush that takes too long, never the reverse.
template <typename Out, typename In>
void Stream<Out, In>::CloseLocked(Phase phase, absl::Status status) {
  if (phase_ == Phase::kNew || phase_ >= Phase::kAborting || phase_ == phase) return;
  if (!reason_ || reason_->ok()) reason_ = std::move(status);
  SetPhase(phase);
  if (phase == Phase::kAborting) {
    Drop();
    // A client's write in flight would wait for a peer that may be stuck. A server waits for its
    // write (close_within at most), so that the peer gets the status.
    if (!is_server()) TransportCancel();
  }
  Pump();
}

template <typename Out, typename In>
void Stream<Out, In>::SetPhase(Phase phase) {
  if (phase <= phase_) return;
  if (phase_ <= Phase::kOpen) closing_since_ = Clock::now();
  phase_ = phase;
}

template <typename Out, typename In>
void Stream<Out, In>::Drop() {
  outbox_.clear();
  outbox_bytes_ = 0;
  splitter_.reset();
}

// Starts the next write, or the end, if nothing is in flight.
template <typename Out, typename In>
void Stream<Out, In>::Pump() {
  if (write_in_flight_ || phase_ == Phase::kNew || phase_ >= Phase::kEnded) return;
  if (phase_ == Phase::kAborting) {
    SetPhase(Phase::kEnded);
    TransportEnd(reason_ ? *reason_ : absl::CancelledError("the stream is broken"));
    return;
  }
  writing_.Clear();
  if (heartbeat_due_) {
    heartbeat_due_ = false;
    if (!MENTOR_FAILPOINT("rpc.heartbeat.skip")) {
      const auto now = Clock::now();
      v1::Heartbeat* heartbeat = writing_.mutable_heartbeat();
      heartbeat->set_sequence(++heartbeats_);
      heartbeat->set_send_time_ns(now.time_since_epoch().count());
      if (echo_time_ns_ != 0) {
        heartbeat->set_echo_time_ns(echo_time_ns_);
        heartbeat->set_echo_delay_ns((now - echo_received_).count());
      }
      return Write(0);
    }
  }
  if (!splitter_ && !outbox_.empty()) {
    auto [item, bytes] = std::move(outbox_.front());
    outbox_.pop_front();
    outbox_bytes_ -= bytes;
    if (Out* message = std::get_if<Out>(&item)) {
      writing_ = std::move(*message);
      return Write(bytes);
    }
    splitter_.emplace(std::get<std::string>(std::move(item)), ++long_messages_,
                      options_.chunk_bytes);
  }
  if (splitter_) {
    MENTOR_FAILPOINT("rpc.chunk.send");
    v1::Chunk* chunk = writing_.mutable_chunk();
    splitter_->Next(chunk);
    if (splitter_->done()) splitter_.reset();
    if (MENTOR_FAILPOINT("rpc.chunk.corrupt"))
      (*chunk->mutable_data())[chunk->data().size() / 2] ^= 1;
    return Write(chunk->data().size());
  }
  if (phase_ == Phase::kFlushing) {
    SetPhase(Phase::kEnded);
    TransportEnd(absl::OkStatus());
  }
}

template <typename Out, typename In>
void Stream<Out, In>::Write(size_t bytes) {
  Count(options_.metrics.messages_sent, 1);
  Count(options_.metrics.bytes_sent, static_cast<double>(bytes));
  write_in_flight_ = true;
  TransportWrite(&writing_);
}

template <typename Out, typename In>
void Stream<Out, In>::WriteDone(bool ok) {
  MutexLock lock(mutex_);
  write_in_flight_ = false;
  if (!ok) {
    // The call is dead; the reason arrives with its end.
    cancelled_ = true;
    Drop();
    SetPhase(is_server() ? Phase::kAborting : Phase::kEnded);
  }
  Pump();
}

template <typename Out, typename In>
absl::StatusOr<std::optional<In>> Stream<Out, In>::Receive() {
  const auto now = Clock::now();
  Count(options_.metrics.messages_received, 1);
  if (reading_.has_heartbeat()) {
    const v1::Heartbeat& heartbeat = reading_.heartbeat();
    MutexLock lock(mutex_);
    last_received_ = echo_received_ = now;
    echo_time_ns_ = heartbeat.send_time_ns();
    if (heartbeat.echo_time_ns() != 0 && heartbeat.echo_delay_ns() >= 0) {
      const int64_t round_trip_ns =
          static_cast<int64_t>(static_cast<uint64_t>(now.time_since_epoch().count()) -
                               static_cast<uint64_t>(heartbeat.echo_time_ns()) -
                               static_cast<uint64_t>(heartbeat.echo_delay_ns()));
      if (round_trip_ns >= 0) {
        round_trip_ = std::chrono::nanoseconds(round_trip_ns);
        if (options_.metrics.round_trip_seconds != nullptr) {
          options_.metrics.round_trip_seconds->Observe(static_cast<double>(round_trip_ns) * 1e-9);
        }
      }
    }
    return std::optional<In>();
  }
  {
    MutexLock lock(mutex_);
    last_received_ = now;
  }
  if (!reading_.has_chunk()) {
    if (reassembler_.pending()) {
      return MakeError(absl::StatusCode::kInvalidArgument, Reason::kProtocolViolation,
                       "a message came between the chunks of another one");
    }
    Count(options_.metrics.bytes_received, static_cast<double>(reading_.ByteSizeLong()));
    return std::optional<In>(std::move(reading_));
  }
  Count(options_.metrics.bytes_received, static_cast<double>(reading_.chunk().data().size()));
  auto bytes = reassembler_.Add(reading_.chunk());
  if (!bytes.ok()) {
    const Reason reason = absl::IsResourceExhausted(bytes.status()) ? Reason::kMessageTooLong
                                                                    : Reason::kProtocolViolation;
    return MakeError(bytes.status().code(), reason, std::string(bytes.status().message()));
  }
  {
    MutexLock lock(mutex_);
    if (!reassembler_.pending()) {
      reassembling_since_.reset();
    } else if (!reassembling_since_) {
      reassembling_since_ = now;
    }
  }
  if (!bytes->has_value()) return std::optional<In>();
  In message;
  if (!message.ParseFromString(**bytes) || message.has_chunk() || message.has_heartbeat()) {
    return MakeError(absl::StatusCode::kInvalidArgument, Reason::kProtocolViolation,
                     "the chunks, put together, do not parse as a message of this stream");
  }
  return std::optional<In>(std::move(message));
}

template <typename Out, typename In>
void Stream<Out, In>::ReadDone(bool ok) {
  std::shared_ptr<Handlers> handlers;
  {
    MutexLock lock(mutex_);
    if (!ok) {
      if (is_server()) {
        // The client has sent all its messages, so this end finishes too. If the client is gone,
        // Cancelled follows.
        CloseLocked(Phase::kFlushing, absl::OkStatus());
      } else {
        SetPhase(Phase::kEnded);
      }
      TransportReadsOver();
      return;
    }
    if (phase_ == Phase::kOpen || phase_ == Phase::kFlushing ||
        (phase_ == Phase::kEnded && !is_server())) {
      handlers = handlers_;
    }
    if (reason_ && !reason_->ok()) handlers = nullptr;
  }
  auto message = Receive();
  if (!message.ok()) {
    Close(message.status());
  } else if (message->has_value() && handlers && !MENTOR_FAILPOINT("rpc.read.drop")) {
    handlers->on_message(**std::move(message));
  }
  MutexLock lock(mutex_);
  // After Finish a server must not read again. A client reads to the end, which comes at once for a
  // cancelled call.
  if (is_server() && phase_ >= Phase::kEnded) return;
  reading_.Clear();
  TransportRead(&reading_);
}

template <typename Out, typename In>
void Stream<Out, In>::Cancelled() {
  MutexLock lock(mutex_);
  cancelled_ = true;
  Drop();
  SetPhase(Phase::kAborting);
  Pump();
}

template <typename Out, typename In>
void Stream<Out, In>::Done(const absl::Status& transport_status) {
  std::shared_ptr<Handlers> handlers;
  std::shared_ptr<Stream> self;
  std::unique_ptr<grpc::Alarm> alarm;
  absl::Status status;
  {
    MutexLock lock(mutex_);
    phase_ = Phase::kDone;
    handlers = std::move(handlers_);
    self = std::move(self_);
    alarm = std::move(alarm_);
    Drop();
    TransportDone();
    if (reason_ && !reason_->ok()) {
      status = *reason_;
    } else if (!transport_status.ok()) {
      status = transport_status;
    } else if (cancelled_) {
      status = cancelled_by_us_
                   ? absl::DeadlineExceededError("the peer did not let the stream end in time")
                   : absl::UnavailableError("the connection to the peer is lost");
    }
  }
  alarm.reset();
  handlers->on_closed(status);
  handlers.reset();
  self.reset();  // Often the last reference: do not use this object afterwards.
}

template <typename Out, typename In>
void Stream<Out, In>::SetAlarm() {
  // A new alarm each time, since the old one may be running this very call. Uses the monotonic
  // clock.
  alarm_ = std::make_unique<grpc::Alarm>();
  const gpr_timespec deadline = gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(options_.heartbeat.count(), GPR_TIMESPAN));
  alarm_->Set(deadline, [weak = this->weak_from_this()](bool expired) {
    if (!expired) return;
    if (const auto stream = weak.lock()) stream->Tick();
  });
}

template <typename Out, typename In>
void Stream<Out, In>::Tick() {
  MutexLock lock(mutex_);
  if (phase_ == Phase::kNew || phase_ == Phase::kDone) return;
  const auto now = Clock::now();
  // A late tick means that this process was suspended, so the peer's silence proves nothing. The
  // peer's time starts again.
  if (now - last_tick_ > options_.heartbeat + options_.dead_after / 2) last_received_ = now;
  last_tick_ = now;
  if (phase_ == Phase::kOpen || phase_ == Phase::kFlushing) {
    if (now - last_received_ > options_.dead_after) {
      CloseLocked(Phase::kAborting, MakeError(absl::StatusCode::kUnavailable, Reason::kPeerSilent,
                                              absl::StrCat("the peer has been silent for ",
                                                           options_.dead_after.count(), " ms")));
      TransportCancel();  // A dead peer cannot receive a status.
    } else if (reassembling_since_ && now - *reassembling_since_ > options_.reassemble_within) {
      CloseLocked(Phase::kAborting,
                  MakeError(absl::StatusCode::kInvalidArgument, Reason::kProtocolViolation,
                            absl::StrCat("a long message is not complete after ",
                                         options_.reassemble_within.count(), " ms")));
    }
  }
  if (phase_ >= Phase::kFlushing && now - closing_since_ > options_.close_within &&
      !cancelled_by_us_) {
    cancelled_ = cancelled_by_us_ = true;
    TransportCancel();
  }
  heartbeat_due_ = phase_ == Phase::kOpen || phase_ == Phase::kFlushing;
  Pump();
  SetAlarm();
}

}  // namespace mentor::rpc
