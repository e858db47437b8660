#include "common/rpc/stream.h"

#include "common/check.h"
#include "common/failpoint.h"
#include "common/rpc/known_peers.h"
#include "mentor/v1/stream.pb.h"

namespace mentor::rpc {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

bool Has(const Message& message, const FieldDescriptor* field) {
  return message.GetReflection()->HasField(message, field);
}
template <typename Part>
const Part& Get(const Message& message, const FieldDescriptor* field) {
  return static_cast<const Part&>(message.GetReflection()->GetMessage(message, field));
}
template <typename Part>
Part* Mutable(Message* message, const FieldDescriptor* field) {
  return static_cast<Part*>(message->GetReflection()->MutableMessage(message, field));
}

template <typename Part>
const FieldDescriptor* FieldOf(const Message& message, const char* name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  MENTOR_CHECK(field != nullptr && field->message_type() == Part::descriptor());
  return field;
}

void Count(prometheus::Counter* counter, double value) {
  if (counter != nullptr) counter->Increment(value);
}

}  // namespace

MessageStream::Members::Members(const Message& message)
    : heartbeat(FieldOf<v1::Heartbeat>(message, "heartbeat")),
      chunk(FieldOf<v1::Chunk>(message, "chunk")) {}

MessageStream::MessageStream(const StreamOptions& options, const Message& out, const Message& in,
                             grpc::CallbackServerContext* server)
    : options_(options),
      out_(out),
      out_members_(out),
      in_members_(in),
      server_(server),
      reading_(in.New()),
      reassembler_({.chunk_bytes_max = options.chunk_bytes,
                    .message_bytes_max = options.message_bytes_max}) {
  if (is_server()) {
    slot_.emplace();
    KnownPeers::Add(server->peer());
  } else {
    client_.emplace();
  }
}

bool MessageStream::SendMessage(std::unique_ptr<Message> message) {
  const size_t bytes = message->ByteSizeLong();
  if (bytes > options_.message_bytes_max) {
    Close(MakeError(Reason::kMessageTooLong, "a message to the peer has " + std::to_string(bytes) +
                                                 " bytes, the limit is " +
                                                 std::to_string(options_.message_bytes_max)));
    return false;
  }
  Item item;
  if (bytes > options_.chunk_bytes) {
    item = message->SerializeAsString();  // Done outside the lock.
  } else {
    item = std::move(message);
  }
  MutexLock lock(mutex_);
  if (phase_ != Phase::kOpen) return false;
  if (outbox_.size() >= options_.outbox_items_max ||
      outbox_bytes_ + bytes > options_.outbox_bytes_max) {
    CloseLocked(
        Phase::kAborting,
        MakeError(Reason::kQueueFull,
                  "the peer does not take its messages: " + std::to_string(outbox_.size()) +
                      " messages and " + std::to_string(outbox_bytes_) + " bytes are in line"));
    return false;
  }
  outbox_.emplace_back(std::move(item), bytes);
  outbox_bytes_ += bytes;
  Pump();
  return true;
}

void MessageStream::Close(absl::Status status) {
  MutexLock lock(mutex_);
  const Phase phase = status.ok() ? Phase::kFlushing : Phase::kAborting;
  CloseLocked(phase, std::move(status));
}

std::pair<size_t, size_t> MessageStream::Queued() const {
  MutexLock lock(mutex_);
  return {outbox_.size(), outbox_bytes_};
}

std::optional<std::chrono::nanoseconds> MessageStream::RoundTrip() const {
  MutexLock lock(mutex_);
  return round_trip_;
}

void MessageStream::Begin(MessageHandlers handlers) {
  MutexLock lock(mutex_);
  MENTOR_CHECK(phase_ == Phase::kNew);
  phase_ = Phase::kOpen;
  handlers_ = std::make_shared<MessageHandlers>(std::move(handlers));
  self_ = shared_from_this();
  last_received_ = last_tick_ = Clock::now();
  SetAlarm();
  TransportRead(reading_.get());
  if (const auto error = MENTOR_FAILPOINT("rpc.stream.open")) {
    CloseLocked(Phase::kAborting, absl::UnavailableError(*error));
  }
  if (slot_ && !slot_->status().ok()) CloseLocked(Phase::kAborting, slot_->status());
}

// An abort may follow a flush that takes too long, never the reverse.
void MessageStream::CloseLocked(Phase phase, absl::Status status) {
  if (phase_ == Phase::kNew || phase_ >= Phase::kAborting || phase_ == phase) return;
  if (!reason_ || reason_->ok()) reason_ = std::move(status);
  SetPhase(phase);
  if (phase == Phase::kAborting) {
    Drop();
    // A client's write in flight would wait for a peer that may be stuck. A server waits for its
    // write (close_within at most), so that the peer gets the status.
    if (!is_server()) Cancel();
  }
  Pump();
}

void MessageStream::SetPhase(Phase phase) {
  if (phase <= phase_) return;
  if (phase_ <= Phase::kOpen) closing_since_ = Clock::now();
  phase_ = phase;
}

void MessageStream::Drop() {
  outbox_.clear();
  outbox_bytes_ = 0;
  splitter_.reset();
}

// Starts the next write, or the end, if nothing is in flight.
void MessageStream::Pump() {
  if (write_in_flight_ || phase_ == Phase::kNew || phase_ >= Phase::kEnded) return;
  if (phase_ == Phase::kAborting) {
    SetPhase(Phase::kEnded);
    const absl::Status status = reason_ ? *reason_ : absl::CancelledError("the stream is broken");
    return is_server() || status.ok() ? TransportEnd(status) : Cancel();
  }
  writing_.reset();
  if (heartbeat_due_) {
    heartbeat_due_ = false;
    if (!MENTOR_FAILPOINT("rpc.heartbeat.skip")) return WriteHeartbeat();
  }
  if (!splitter_ && !outbox_.empty()) {
    auto [item, bytes] = std::move(outbox_.front());
    outbox_.pop_front();
    outbox_bytes_ -= bytes;
    if (auto* message = std::get_if<std::unique_ptr<Message>>(&item))
      return Write(std::move(*message), bytes);
    splitter_.emplace(std::get<std::string>(std::move(item)), ++long_messages_,
                      options_.chunk_bytes);
  }
  if (splitter_) return WriteChunk();
  if (phase_ == Phase::kFlushing) {
    SetPhase(Phase::kEnded);
    TransportEnd(absl::OkStatus());
  }
}

void MessageStream::WriteHeartbeat() {
  const auto now = Clock::now();
  std::unique_ptr<Message> message(out_.New());
  auto* heartbeat = Mutable<v1::Heartbeat>(message.get(), out_members_.heartbeat);
  heartbeat->set_sequence(++heartbeats_);
  heartbeat->set_send_time_ns(now.time_since_epoch().count());
  if (echo_time_ns_ != 0) {
    heartbeat->set_echo_time_ns(echo_time_ns_);
    heartbeat->set_echo_delay_ns((now - echo_received_).count());
  }
  Write(std::move(message), 0);
}

void MessageStream::WriteChunk() {
  MENTOR_FAILPOINT("rpc.chunk.send");
  std::unique_ptr<Message> message(out_.New());
  auto* chunk = Mutable<v1::Chunk>(message.get(), out_members_.chunk);
  splitter_->Next(chunk);
  if (splitter_->done()) splitter_.reset();
  if (MENTOR_FAILPOINT("rpc.chunk.corrupt"))
    (*chunk->mutable_data())[chunk->data().size() / 2] ^= 1;
  Write(std::move(message), chunk->data().size());
}

void MessageStream::Write(std::unique_ptr<Message> message, size_t bytes) {
  Count(options_.metrics.messages_sent, 1);
  Count(options_.metrics.bytes_sent, static_cast<double>(bytes));
  write_in_flight_ = true;
  writing_ = std::move(message);
  TransportWrite(writing_.get());
}

void MessageStream::Cancel() {
  if (is_server()) {
    server_->TryCancel();
  } else {
    client_->TryCancel();
  }
}

void MessageStream::WriteDone(bool ok) {
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

void MessageStream::ReceiveHeartbeat(const v1::Heartbeat& heartbeat, Clock::time_point now) {
  MutexLock lock(mutex_);
  last_received_ = echo_received_ = now;
  echo_time_ns_ = heartbeat.send_time_ns();
  if (heartbeat.echo_time_ns() == 0 || heartbeat.echo_delay_ns() < 0) return;
  const int64_t round_trip_ns =
      static_cast<int64_t>(static_cast<uint64_t>(now.time_since_epoch().count()) -
                           static_cast<uint64_t>(heartbeat.echo_time_ns()) -
                           static_cast<uint64_t>(heartbeat.echo_delay_ns()));
  if (round_trip_ns < 0) return;
  round_trip_ = std::chrono::nanoseconds(round_trip_ns);
  if (options_.metrics.round_trip_seconds != nullptr)
    options_.metrics.round_trip_seconds->Observe(static_cast<double>(round_trip_ns) * 1e-9);
}

absl::StatusOr<bool> MessageStream::ReceiveChunk(const v1::Chunk& chunk, Clock::time_point now) {
  Count(options_.metrics.bytes_received, static_cast<double>(chunk.data().size()));
  const auto bytes = reassembler_.Add(chunk);
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
  if (!bytes->has_value()) return false;
  if (!reading_->ParseFromString(**bytes) || Has(*reading_, in_members_.chunk) ||
      Has(*reading_, in_members_.heartbeat)) {
    return MakeError(Reason::kProtocolViolation,
                     "the chunks, put together, do not parse as a message of this stream");
  }
  return true;
}

absl::StatusOr<bool> MessageStream::Receive() {
  const auto now = Clock::now();
  Count(options_.metrics.messages_received, 1);
  if (Has(*reading_, in_members_.heartbeat)) {
    ReceiveHeartbeat(Get<v1::Heartbeat>(*reading_, in_members_.heartbeat), now);
    return false;
  }
  {
    MutexLock lock(mutex_);
    last_received_ = now;
  }
  if (Has(*reading_, in_members_.chunk))
    return ReceiveChunk(Get<v1::Chunk>(*reading_, in_members_.chunk), now);
  if (reassembler_.pending()) {
    return MakeError(Reason::kProtocolViolation,
                     "a message came between the chunks of another one");
  }
  Count(options_.metrics.bytes_received, static_cast<double>(reading_->ByteSizeLong()));
  return true;
}

void MessageStream::ReadDone(bool ok) {
  std::shared_ptr<MessageHandlers> handlers;
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
  const absl::StatusOr<bool> is_message = Receive();
  if (!is_message.ok()) {
    Close(is_message.status());
  } else if (*is_message && handlers && !MENTOR_FAILPOINT("rpc.read.drop")) {
    handlers->on_message(*reading_);
  }
  MutexLock lock(mutex_);
  // After Finish a server must not read again. A client reads to the end, which comes at once for a
  // cancelled call.
  if (is_server() && phase_ >= Phase::kEnded) return;
  reading_->Clear();
  TransportRead(reading_.get());
}

void MessageStream::Cancelled() {
  MutexLock lock(mutex_);
  cancelled_ = true;
  Drop();
  SetPhase(Phase::kAborting);
  Pump();
}

void MessageStream::Done(const absl::Status& transport_status) {
  std::shared_ptr<MessageHandlers> handlers;
  std::shared_ptr<MessageStream> self;
  std::unique_ptr<grpc::Alarm> alarm;
  absl::Status status;
  {
    MutexLock lock(mutex_);
    phase_ = Phase::kDone;
    handlers = std::move(handlers_);
    self = std::move(self_);
    alarm = std::move(alarm_);
    Drop();
    client_.reset();
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

void MessageStream::SetAlarm() {
  // A new alarm each time, since the old one may be running this very call. Uses the monotonic
  // clock.
  alarm_ = std::make_unique<grpc::Alarm>();
  const gpr_timespec deadline = gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(options_.heartbeat.count(), GPR_TIMESPAN));
  alarm_->Set(deadline, [weak = weak_from_this()](bool expired) {
    if (!expired) return;
    if (const auto stream = weak.lock()) stream->Tick();
  });
}

void MessageStream::Tick() {
  MutexLock lock(mutex_);
  if (phase_ == Phase::kNew || phase_ == Phase::kDone) return;
  const auto now = Clock::now();
  // A late tick means that this process was suspended, so the peer's silence proves nothing. The
  // peer's time starts again.
  if (now - last_tick_ > options_.heartbeat + options_.dead_after / 2) last_received_ = now;
  last_tick_ = now;
  if (phase_ == Phase::kOpen || phase_ == Phase::kFlushing) {
    if (now - last_received_ > options_.dead_after) {
      CloseLocked(Phase::kAborting,
                  MakeError(Reason::kPeerSilent, absl::StrCat("the peer has been silent for ",
                                                              options_.dead_after.count(), " ms")));
      Cancel();  // A dead peer cannot receive a status.
    } else if (reassembling_since_ && now - *reassembling_since_ > options_.reassemble_within) {
      CloseLocked(Phase::kAborting,
                  MakeError(Reason::kProtocolViolation,
                            absl::StrCat("a long message is not complete after ",
                                         options_.reassemble_within.count(), " ms")));
    }
  }
  if (phase_ >= Phase::kFlushing && now - closing_since_ > options_.close_within &&
      !cancelled_by_us_) {
    cancelled_ = cancelled_by_us_ = true;
    Cancel();
  }
  heartbeat_due_ = phase_ == Phase::kOpen || phase_ == Phase::kFlushing;
  Pump();
  SetAlarm();
}

}  // namespace mentor::rpc
