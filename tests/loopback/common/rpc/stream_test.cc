// Two ends of rpc::Stream over TCP and in process. They use the messages of RolloutService, without
// their meaning.
#include "common/rpc/stream.h"

#include <atomic>
#include <thread>
#include <vector>

#include <prometheus/registry.h>

#include "common/mutex.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "mentor/v1/rollout_service.grpc.pb.h"
#include "tests/mailbox.h"
#include "tests/testing.h"

namespace mentor::rpc::TEST_FILE {

using mentor::testing::Mailbox;
using mentor::testing::Signal;
using std::chrono::milliseconds;

using ServerEnd = ServerStream<v1::WorkResponse, v1::WorkRequest>;
using ClientEnd = ClientStream<v1::WorkRequest, v1::WorkResponse>;

// Hands each new stream to the test, which decides what happens on it.
class TestService : public v1::RolloutService::CallbackService {
 public:
  explicit TestService(const StreamOptions& options) : options_(options) {}

  struct Call {
    std::shared_ptr<ServerEnd> stream;
    std::shared_ptr<Mailbox<v1::WorkRequest>> messages =
        std::make_shared<Mailbox<v1::WorkRequest>>();
    std::shared_ptr<Mailbox<absl::Status>> closed = std::make_shared<Mailbox<absl::Status>>();
  };

  grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* Work(
      grpc::CallbackServerContext* context) override {
    Call call;
    call.stream = ServerEnd::Make(context, options_);
    // The handlers hold the stream; they are destroyed at its end, so nothing leaks.
    call.stream->Start(
        {.on_message =
             [this, stream = call.stream, box = call.messages](v1::WorkRequest message) {
               if (on_message) on_message(stream, message);
               box->Push(std::move(message));
             },
         .on_closed = [box = call.closed](const absl::Status& status) { box->Push(status); }});
    ServerEnd* reactor = call.stream.get();
    calls.Push(call);
    return reactor->reactor();
  }

  Mailbox<Call> calls;
  // Fixed before the first stream.
  std::function<void(const std::shared_ptr<ServerEnd>&, const v1::WorkRequest&)> on_message;

 private:
  const StreamOptions options_;
};

struct ClientCall {
  std::shared_ptr<ClientEnd> stream;
  std::shared_ptr<Mailbox<v1::WorkResponse>> messages =
      std::make_shared<Mailbox<v1::WorkResponse>>();
  std::shared_ptr<Mailbox<absl::Status>> closed = std::make_shared<Mailbox<absl::Status>>();
};

struct Loopback {
  explicit Loopback(bool tcp, const StreamOptions& options = {})
      : service(options), client_options(options) {
    auto started = Server::Start({.address = tcp ? "127.0.0.1:0" : ""}, {&service});
    REQUIRE(started.ok());
    server = *std::move(started);
    if (tcp) {
      auto made = MakeChannel({.address = server->address()});
      REQUIRE(made.ok());
      channel = *made;
    } else {
      channel = server->InProcessChannel();
    }
    stub = v1::RolloutService::NewStub(channel);
  }

  ClientCall Open() {
    ClientCall call;
    call.stream = ClientEnd::Make(client_options);
    call.stream->Start(
        {.on_message = [stream = call.stream, box = call.messages](
                           v1::WorkResponse message) { box->Push(std::move(message)); },
         .on_closed = [box = call.closed](const absl::Status& status) { box->Push(status); }},
        [&](auto* context, auto* reactor) { stub->async()->Work(context, reactor); });
    return call;
  }

  TestService service;
  StreamOptions client_options;
  std::unique_ptr<Server> server;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::RolloutService::Stub> stub;
};

v1::WorkRequest Up(uint32_t number, size_t padding = 0) {
  v1::WorkRequest message;
  message.mutable_result()->set_attempt(number);
  message.mutable_result()->set_final_state(
      std::string(padding, static_cast<char>('a' + number % 26)));
  return message;
}
v1::WorkResponse Down(uint32_t number, size_t padding = 0) {
  v1::WorkResponse message;
  message.mutable_unit()->set_attempt(number);
  message.mutable_unit()->set_state(std::string(padding, static_cast<char>('a' + number % 26)));
  return message;
}

TEST_CASE("stream: messages arrive whole and in order, both ways, short and long", "[loopback]") {
  const bool tcp = GENERATE(true, false);
  INFO("tcp " << tcp);
  Loopback loopback(tcp);
  ClientCall client = loopback.Open();
  const auto padding = [](int i) -> size_t { return i % 37 == 0 ? (3u << 20) + i : i % 5; };
  for (int i = 1; i <= 300; ++i) REQUIRE(client.stream->Send(Up(i, padding(i))));
  auto server = loopback.service.calls.Pop();
  for (int i = 1; i <= 300; ++i) REQUIRE(server.stream->Send(Down(i, padding(i))));
  for (int i = 1; i <= 300; ++i) {
    REQUIRE(server.messages->Pop().SerializeAsString() == Up(i, padding(i)).SerializeAsString());
    REQUIRE(client.messages->Pop().SerializeAsString() == Down(i, padding(i)).SerializeAsString());
  }
  client.stream->Close(absl::OkStatus());
  CHECK(client.closed->Pop().ok());
  CHECK(server.closed->Pop().ok());
  CHECK_FALSE(client.stream->Send(Up(1)));
  CHECK_FALSE(server.stream->Send(Down(1)));
  const std::weak_ptr<ClientEnd> client_end = client.stream;
  const std::weak_ptr<ServerEnd> server_end = server.stream;
  client = {};
  server = {};
  loopback.server->Shutdown(milliseconds(0));  // Every reaction is over.
  Signal().WaitUntil([&] { return client_end.expired() && server_end.expired(); });
}

TEST_CASE("stream: closing with OK sends what is in line first", "[loopback]") {
  const bool tcp = GENERATE(true, false);
  Loopback loopback(tcp);
  ClientCall client = loopback.Open();
  auto server = loopback.service.calls.Pop();
  SECTION("the server closes") {
    for (int i = 1; i <= 50; ++i) REQUIRE(server.stream->Send(Down(i, i == 25 ? 2 << 20 : 1000)));
    server.stream->Close(absl::OkStatus());
    for (int i = 1; i <= 50; ++i)
      CHECK(client.messages->Pop().unit().attempt() == static_cast<uint32_t>(i));
  }
  SECTION("the client closes") {
    for (int i = 1; i <= 50; ++i) REQUIRE(client.stream->Send(Up(i, i == 25 ? 2 << 20 : 1000)));
    client.stream->Close(absl::OkStatus());
    for (int i = 1; i <= 50; ++i)
      CHECK(server.messages->Pop().result().attempt() == static_cast<uint32_t>(i));
  }
  CHECK(client.closed->Pop().ok());
  CHECK(server.closed->Pop().ok());
}

TEST_CASE("stream: the server's error reaches the client with its reason", "[loopback]") {
  const bool tcp = GENERATE(true, false);
  Loopback loopback(tcp);
  ClientCall client = loopback.Open();
  auto server = loopback.service.calls.Pop();
  server.stream->Close(
      MakeError(Reason::kCatalogueMismatch, "theirs a, ours b", {{"expected", "b"}}));
  const absl::Status seen = client.closed->Pop();
  CHECK(seen.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(seen.message() == "theirs a, ours b");
  CHECK(ReasonOf(seen) == "CATALOGUE_MISMATCH");
  CHECK(MetadataOf(seen, "expected") == "b");
  CHECK(server.closed->Pop().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("stream: a client that ends with an error is lost to the server", "[loopback]") {
  const bool tcp = GENERATE(true, false);
  Loopback loopback(tcp);
  ClientCall client = loopback.Open();
  auto server = loopback.service.calls.Pop();
  client.stream->Close(absl::InvalidArgumentError("enough"));
  CHECK(client.closed->Pop() == absl::InvalidArgumentError("enough"));
  CHECK(server.closed->Pop().code() == absl::StatusCode::kUnavailable);
}

TEST_CASE("stream: without a server it closes with UNAVAILABLE", "[loopback]") {
  Loopback loopback(/*tcp=*/true);
  loopback.server->Shutdown(milliseconds(0));
  ClientCall client = loopback.Open();
  CHECK(client.closed->Pop().code() == absl::StatusCode::kUnavailable);
}

TEST_CASE("stream: a server that shuts down ends its streams", "[loopback]") {
  const bool tcp = GENERATE(true, false);
  Loopback loopback(tcp);
  std::vector<ClientCall> clients;
  std::vector<TestService::Call> calls;
  for (int i = 0; i < 5; ++i) clients.push_back(loopback.Open());
  for (int i = 0; i < 5; ++i) calls.push_back(loopback.service.calls.Pop());
  for (auto& client : clients) client.stream->Send(Up(1));
  loopback.server->Shutdown(milliseconds(0));
  for (auto& client : clients) CHECK_FALSE(client.closed->Pop().ok());
  for (auto& call : calls) CHECK_FALSE(call.closed->Pop().ok());
}

TEST_CASE("stream: heartbeats keep a quiet stream alive and measure the round trip", "[loopback]") {
  prometheus::Registry registry;
  auto& received = prometheus::BuildCounter().Name("received").Help("-").Register(registry).Add({});
  StreamOptions options;
  options.heartbeat = milliseconds(20);
  options.dead_after = milliseconds(400);
  options.metrics.messages_received = &received;
  Loopback loopback(/*tcp=*/true, options);
  ClientCall client = loopback.Open();
  auto server = loopback.service.calls.Pop();
  // Both ends count here: 60 heartbeats are 30 intervals, longer than dead_after.
  Signal().WaitUntil([&] {
    return received.Value() >= 60 || client.closed->size() > 0 || server.closed->size() > 0;
  });
  CHECK(client.closed->size() == 0);
  CHECK(server.closed->size() == 0);
  Signal().WaitUntil([&] {
    return client.stream->RoundTrip().has_value() && server.stream->RoundTrip().has_value();
  });
  CHECK(client.stream->RoundTrip()->count() > 0);
  CHECK(client.messages->size() == 0);  // Heartbeats are not for the handler.
  client.stream->Close(absl::OkStatus());
  CHECK(client.closed->Pop().ok());
}

TEST_CASE("stream: a silent client is ended", "[loopback]") {
  StreamOptions options;
  options.heartbeat = milliseconds(20);
  options.dead_after = milliseconds(100);
  Loopback loopback(/*tcp=*/true, options);
  grpc::ClientContext context;
  const auto silent = loopback.stub->Work(&context);  // Sends no heartbeats but this one.
  v1::WorkRequest early;                              // Echoes what the server has not sent yet.
  early.mutable_heartbeat()->set_echo_time_ns(int64_t{1} << 62);
  REQUIRE(silent->Write(early));
  auto server = loopback.service.calls.Pop();
  const absl::Status closed = server.closed->Pop();
  CHECK(closed.code() == absl::StatusCode::kUnavailable);
  CHECK(ReasonOf(closed) == "PEER_SILENT");
  CHECK_FALSE(server.stream->RoundTrip().has_value());
  context.TryCancel();
  v1::WorkResponse response;
  while (silent->Read(&response)) {
  }
  CHECK_FALSE(silent->Finish().ok());
}

// A service whose stream does nothing at all.
class SilentService : public v1::RolloutService::CallbackService {
 public:
  grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* Work(
      grpc::CallbackServerContext*) override {
    class Reactor : public grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse> {
      void OnCancel() override { Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }
    };
    return new Reactor;
  }
};

// How a stream to a silent server ends, after what the client does with it.
absl::Status EndAtSilentServer(const StreamOptions& options, void (*act)(ClientEnd*)) {
  SilentService service;
  auto server = Server::Start({}, {&service});
  REQUIRE(server.ok());
  auto channel = MakeChannel({.address = (*server)->address()});
  REQUIRE(channel.ok());
  const auto stub = v1::RolloutService::NewStub(*channel);
  Mailbox<absl::Status> closed;
  auto stream = ClientEnd::Make(options);
  stream->Start({.on_message = [](v1::WorkResponse) {},
                 .on_closed = [&](const absl::Status& s) { closed.Push(s); }},
                [&](auto* context, auto* reactor) { stub->async()->Work(context, reactor); });
  act(stream.get());
  return closed.Pop();
}

TEST_CASE("stream: a silent server is left", "[loopback]") {
  StreamOptions options;
  options.heartbeat = milliseconds(20);
  options.dead_after = milliseconds(100);
  const absl::Status status = EndAtSilentServer(options, [](ClientEnd*) {});
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  CHECK(ReasonOf(status) == "PEER_SILENT");
}

TEST_CASE("stream: a silent server is left also while the client flushes", "[loopback]") {
  StreamOptions options;
  options.close_within = milliseconds(200);
  const auto act = [](ClientEnd* stream) {
    for (int i = 0; i < 16; ++i)
      REQUIRE(stream->Send(Up(i, 1 << 20)));  // More than the transport takes unread.
    stream->Close(absl::OkStatus());
  };
  CHECK_FALSE(EndAtSilentServer(options, act).ok());
}

TEST_CASE("stream: a peer that does not read is ended when the outbox is full", "[loopback]") {
  StreamOptions options;
  const bool items = GENERATE(true, false);
  (items ? options.outbox_items_max : options.outbox_bytes_max) = items ? 10 : 10 * 100'000;
  options.close_within = milliseconds(200);
  Loopback loopback(/*tcp=*/true, options);
  grpc::ClientContext context;
  const auto idle = loopback.stub->Work(&context);
  auto server = loopback.service.calls.Pop();
  int sent = 0;
  while (server.stream->Send(Down(sent, 100'000))) REQUIRE(++sent < 10'000);
  CHECK(sent >= 10);
  const absl::Status closed = server.closed->Pop();
  CHECK(closed.code() == absl::StatusCode::kResourceExhausted);
  CHECK(ReasonOf(closed) == "QUEUE_FULL");
  context.TryCancel();
  v1::WorkResponse response;
  while (idle->Read(&response)) {
  }
  CHECK_FALSE(idle->Finish().ok());
}

TEST_CASE("stream: a message beyond the limit is not sent", "[loopback]") {
  StreamOptions options;
  options.message_bytes_max = 3 << 20;
  Loopback loopback(/*tcp=*/false, options);
  ClientCall client = loopback.Open();
  CHECK_FALSE(client.stream->Send(Up(1, 3 << 20)));
  CHECK(ReasonOf(client.closed->Pop()) == "MESSAGE_TOO_LONG");
}

TEST_CASE("stream: broken chunks end the stream with INVALID_ARGUMENT and nothing else",
          "[loopback]") {
  Loopback loopback(/*tcp=*/true);
  v1::WorkRequest chunk;
  chunk.mutable_chunk()->set_stream_id(1);
  chunk.mutable_chunk()->set_data("abc");
  std::vector<v1::WorkRequest> messages;
  SECTION("a piece without a beginning") {
    chunk.mutable_chunk()->set_index(3);
    messages = {chunk};
  }
  SECTION("a message between two pieces") {
    chunk.mutable_chunk()->set_total_bytes(6);
    messages = {chunk, Up(1)};
  }
  SECTION("pieces that make no message") {
    chunk.mutable_chunk()->set_total_bytes(3);
    chunk.mutable_chunk()->set_last(true);
    messages = {chunk};
  }
  SECTION("a chunk of chunks") {
    const std::string inner = chunk.SerializeAsString();
    chunk.mutable_chunk()->set_data(inner);
    chunk.mutable_chunk()->set_total_bytes(inner.size());
    chunk.mutable_chunk()->set_last(true);
    messages = {chunk};
  }
  ClientCall healthy = loopback.Open();
  auto healthy_server = loopback.service.calls.Pop();
  grpc::ClientContext context;
  const auto broken = loopback.stub->Work(&context);
  for (const auto& message : messages) broken->Write(message);
  v1::WorkResponse response;
  while (broken->Read(&response)) {
  }
  const absl::Status status = FromGrpc(broken->Finish());
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK(ReasonOf(status) == "PROTOCOL_VIOLATION");
  auto broken_server = loopback.service.calls.Pop();
  CHECK(broken_server.closed->Pop().code() == absl::StatusCode::kInvalidArgument);
  CHECK(broken_server.messages->size() == 0);
  // The other stream is as it was.
  healthy.stream->Send(Up(5));
  CHECK(healthy_server.messages->Pop().result().attempt() == 5);
}

TEST_CASE("stream: a message above gRPC's limit is refused before parsing", "[loopback]") {
  Loopback loopback(/*tcp=*/true);
  grpc::ClientContext context;
  // A channel without our limits, as a foreign client has.
  grpc::ChannelArguments arguments;
  const auto channel = grpc::CreateCustomChannel(
      loopback.server->address(), grpc::experimental::LocalCredentials(LOCAL_TCP), arguments);
  const auto stub = v1::RolloutService::NewStub(channel);
  const auto broken = stub->Work(&context);
  broken->Write(Up(1, 9 << 20));
  v1::WorkResponse response;
  while (broken->Read(&response)) {
  }
  CHECK(broken->Finish().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK_FALSE(loopback.service.calls.Pop().closed->Pop().ok());
}

TEST_CASE("stream: closing from a handler", "[loopback]") {
  const bool tcp = GENERATE(true, false);
  Loopback loopback(tcp);
  loopback.service.on_message = [](const std::shared_ptr<ServerEnd>& stream,
                                   const v1::WorkRequest& message) {
    if (message.result().attempt() == 2) stream->Close(absl::InvalidArgumentError("two is wrong"));
  };
  ClientCall client = loopback.Open();
  for (int i = 1; i <= 3; ++i) client.stream->Send(Up(i));
  CHECK(client.closed->Pop() == absl::InvalidArgumentError("two is wrong"));
  auto server = loopback.service.calls.Pop();
  CHECK(server.closed->Pop().code() == absl::StatusCode::kInvalidArgument);
  CHECK(server.messages->size() == 2);  // The third was dropped.
}

TEST_CASE("stream: many streams, many threads, ends at any moment: each closes once",
          "[loopback]") {
  const bool tcp = GENERATE(true, false);
  StreamOptions options;
  options.heartbeat = milliseconds(10);
  options.chunk_bytes = 1000;
  Loopback loopback(tcp, options);
  loopback.service.on_message = [](const std::shared_ptr<ServerEnd>& stream,
                                   const v1::WorkRequest& message) {
    const uint32_t number = message.result().attempt();
    stream->Send(Down(number, number % 7 * 500));
    if (number == 90) stream->Close(absl::OkStatus());
    if (number == 91) stream->Close(absl::AbortedError("91"));
  };
  constexpr int kThreads = 4, kStreams = 25;
  std::vector<std::thread> threads;
  Mutex mutex;
  std::vector<ClientCall> all;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int s = 0; s < kStreams; ++s) {
        ClientCall client = loopback.Open();
        std::thread second([&] {
          for (int i = 0; i < 40; ++i) client.stream->Send(Up(i, i % 5 * 700));
        });
        for (int i = 0; i < 40; ++i) client.stream->Send(Up(i, i % 3 * 900));
        switch ((t * kStreams + s) % 5) {
          case 0:
            client.stream->Close(absl::OkStatus());
            break;
          case 1:
            client.stream->Close(absl::InternalError("x"));
            break;
          case 2:
            client.stream->Send(Up(90));
            break;
          case 3:
            client.stream->Send(Up(91));
            break;
          case 4:
            client.stream->Close(absl::OkStatus());
            client.stream->Close(absl::InternalError("y"));
            break;
        }
        second.join();
        MutexLock lock(mutex);
        all.push_back(std::move(client));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (auto& client : all) static_cast<void>(client.closed->Pop());
  for (size_t i = 0; i < all.size(); ++i) {
    auto call = loopback.service.calls.TryPop();
    if (!call) break;  // A call that was cancelled before it arrived.
    static_cast<void>(call->closed->Pop());
    CHECK(call->closed->size() == 0);
  }
  loopback.server->Shutdown(milliseconds(0));
  for (auto& client : all) CHECK(client.closed->size() == 0);
}

// Hidden, because it is wrong: two streams count in one number without a lock. tests/tsan.sh must
// find the race, to show that its suppressions do not hide real ones.
TEST_CASE("stream: a race on purpose", "[.race]") {
  int count = 0;
  Loopback loopback(/*tcp=*/true);
  loopback.service.on_message = [&](const std::shared_ptr<ServerEnd>&, const v1::WorkRequest&) {
    count = count * 3 + 1;
  };
  ClientCall clients[] = {loopback.Open(), loopback.Open()};
  for (int i = 1; i <= 200; ++i) {
    for (ClientCall& client : clients) REQUIRE(client.stream->Send(Up(i)));
  }
  for (ClientCall& client : clients) {
    client.stream->Close(absl::OkStatus());
    CHECK(client.closed->Pop().ok());
  }
  WARN(count);  // Else the compiler leaves it out.
}

}  // namespace mentor::rpc::TEST_FILE
