// Servers and channels: credentials, health, addresses, shutdown.
#include "common/rpc/server.h"

#include <future>

#include <grpcpp/create_channel.h>

#include "common/rpc/call_metrics.h"
#include "common/rpc/channel.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/health.h"
#include "common/rpc/stream.h"
#include "mentor/v1/rollout_service.grpc.pb.h"
#include "tests/mailbox.h"
#include "tests/metric_value.h"
#include "tests/testing.h"

namespace mentor::rpc::TEST_FILE {

using mentor::testing::kPatience;
using mentor::testing::Mailbox;
using std::chrono::milliseconds;

// Answers every message with a unit of the same attempt.
class EchoService : public v1::RolloutService::CallbackService {
 public:
  grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* Work(
      grpc::CallbackServerContext* context) override {
    auto stream = ServerStream<v1::WorkResponse, v1::WorkRequest>::Make(context, {});
    stream->Start({.on_message =
                       [stream](const v1::WorkRequest& message) {
                         v1::WorkResponse answer;
                         answer.mutable_unit()->set_attempt(message.result().attempt());
                         stream->Send(std::move(answer));
                       },
                   .on_closed = [](const absl::Status&) {}});
    return stream->reactor();
  }
};

// Sends one message and returns the answer, or the status of the stream.
absl::Status Echo(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = v1::RolloutService::NewStub(channel);
  auto answers = std::make_shared<Mailbox<absl::Status>>();
  auto stream = ClientStream<v1::WorkRequest, v1::WorkResponse>::Make({});
  stream->Start({.on_message =
                     [stream, answers](const v1::WorkResponse& message) {
                       answers->Push(message.unit().attempt() == 7
                                         ? absl::OkStatus()
                                         : absl::InternalError("wrong answer"));
                       stream->Close(absl::OkStatus());
                     },
                 .on_closed = [answers](const absl::Status& status) { answers->Push(status); }},
                [&](auto* context, auto* reactor) { stub->async()->Work(context, reactor); });
  v1::WorkRequest message;
  message.mutable_result()->set_attempt(7);
  stream->Send(message);
  return answers->Pop();
}

TEST_CASE("server: no plain text beyond loopback", "[loopback]") {
  EchoService service;
  for (const char* address : {"0.0.0.0:0", "[::]:0", "example.org:0", "127.example.org:0"}) {
    INFO(address);
    const auto server = Server::Start({.address = address}, {&service});
    CHECK(server.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(server.status().message()).find("--tls_cert") != std::string::npos);
  }
  for (const char* address : {"0.0.0.0:1", "[::]:1", "example.org:1", "127.example.org:1"}) {
    INFO(address);
    const auto channel = MakeChannel({.address = std::string(address)});
    CHECK(channel.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(channel.status().message()).find("--tls_ca") != std::string::npos);
  }
  // Said explicitly, it is possible.
  CHECK(Server::Start({.address = "0.0.0.0:0", .allow_insecure = true}, {&service}).ok());
  CHECK(MakeChannel({.address = "0.0.0.0:1", .allow_insecure = true}).ok());
}

TEST_CASE("server: an address that can be none is refused at both ends", "[loopback]") {
  for (const char* address : {"localhost", "localhost:", ":50052", ":abc", "127.0.0.1:99999",
                              "127.0.0.1:5005x", "127.0.0.1:-1", "[]:1", "::1:50052", ""}) {
    INFO(address);
    const absl::Status status = MakeChannel({.address = address}).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(status.message()).find("address '") == 0);
    if (*address == '\0') continue;  // A server without a port.
    CHECK(Server::Start({.address = address}, {}).status().code() ==
          absl::StatusCode::kInvalidArgument);
  }
  // Port 0 is only for servers; gRPC checks other schemes.
  CHECK(MakeChannel({.address = "127.0.0.1:0"}).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(Server::Start({.address = "127.0.0.1:0"}, {}).ok());
  for (const char* address :
       {"localhost:1", "[::1]:65535", "dns:///localhost:1", "ipv4:127.0.0.1:1", "unix:/no/such"}) {
    INFO(address);
    CHECK(MakeChannel({.address = address}).ok());
  }
}

TEST_CASE("server: a port that is taken is an error, not a share", "[loopback]") {
  EchoService service, second_service;
  auto first = Server::Start({}, {&service});
  REQUIRE(first.ok());
  const std::string taken = (*first)->address();
  CHECK(Server::Check({.address = taken}).code() == absl::StatusCode::kUnavailable);
  CHECK(Server::Check({}).ok());
  CHECK(Server::Check({.address = "0.0.0.0:0"}).code() == absl::StatusCode::kInvalidArgument);
  CHECK((*first)->port() > 0);
  const auto second = Server::Start({.address = (*first)->address()}, {&second_service});
  CHECK(second.status().code() == absl::StatusCode::kUnavailable);
  CHECK(std::string(second.status().message()).find((*first)->address()) != std::string::npos);
  auto channel = MakeChannel({.address = (*first)->address()});
  REQUIRE(channel.ok());
  CHECK(Echo(*channel).ok());
}

// The word or the error's code.
std::string HealthOf(const std::shared_ptr<grpc::Channel>& channel, const std::string& name) {
  const auto health = AskHealth(channel, name, kPatience);
  if (!health.ok()) return absl::StatusCodeToString(health.status().code());
  return *health == Health::kServing ? "SERVING" : "NOT_SERVING";
}

TEST_CASE("server: health follows readiness, on the admin port too", "[loopback]") {
  EchoService service;
  const bool admin = GENERATE(false, true);
  INFO("admin port " << admin);
  auto server = admin ? Server::StartAdmin("127.0.0.1:0", {"mentor.v1.RolloutService"})
                      : Server::Start({.health_names = {"mentor.v1.RolloutService"}}, {&service});
  REQUIRE(server.ok());
  auto channel = MakeChannel({.address = (*server)->address()});
  REQUIRE(channel.ok());
  const auto all = [&](const std::string& word) {
    for (const char* name : {"", "readiness", "mentor.v1.RolloutService"}) {
      INFO(name);
      CHECK(HealthOf(*channel, name) == word);
    }
  };
  all("NOT_SERVING");
  CHECK(HealthOf(*channel, "liveness") == "SERVING");
  (*server)->SetAvailable(true);  // It stands by.
  all("NOT_SERVING");
  CHECK(HealthOf(*channel, "available") == "SERVING");
  (*server)->SetReady(true);
  all("SERVING");
  CHECK(HealthOf(*channel, "available") == "SERVING");
  (*server)->SetReady(false);
  all("NOT_SERVING");
  (*server)->SetLive(false);
  CHECK(HealthOf(*channel, "liveness") == "NOT_SERVING");
  CHECK(HealthOf(*channel, "unknown") == "NOT_FOUND");
}

TEST_CASE("server: a compressed message is refused and never unpacked (D6)", "[loopback]") {
  EchoService service;
  auto server = Server::Start({}, {&service});
  REQUIRE(server.ok());
  const bool admin = GENERATE(false, true);
  auto probes = Server::StartAdmin("127.0.0.1:0", {});
  REQUIRE(probes.ok());
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    INFO("algorithm " << algorithm << ", admin port " << admin);
    const auto channel = grpc::CreateChannel(admin ? (*probes)->address() : (*server)->address(),
                                             grpc::InsecureChannelCredentials());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    context.set_compression_algorithm(algorithm);
    const auto stub = v1::RolloutService::NewStub(channel);
    const auto stream = stub->Work(&context);
    // 4 MB of zeros: some kilobytes on the wire.
    v1::WorkRequest message;
    message.mutable_hello()->set_numeric_fingerprint(std::string(4 << 20, '\0'));
    stream->Write(message);
    stream->WritesDone();
    v1::WorkResponse answer;
    CHECK_FALSE(stream->Read(&answer));
    const grpc::Status status = stream->Finish();
    INFO(status.error_message());
    CHECK(status.error_code() == grpc::StatusCode::UNIMPLEMENTED);
    CHECK(status.error_message().find("ompress") != std::string::npos);
  }
  // Without compression all is as it was.
  const auto channel = MakeChannel({.address = (*server)->address()});
  REQUIRE(channel.ok());
  CHECK(Echo(*channel).ok());
}

TEST_CASE("server: calls are counted by method and status", "[loopback]") {
  using mentor::testing::MetricValue;
  EchoService service;
  const auto metrics = Metrics::Create();
  auto server = Server::Start(
      {.metrics = metrics.get(), .health_names = {"mentor.v1.RolloutService"}}, {&service});
  REQUIRE(server.ok());
  const std::string work = R"({method="RolloutService/Work"})";
  const auto handled = [&](const std::string& code, const std::string& method) {
    return MetricValue(*metrics, "mentor_grpc_server_handled_total{code=\"" + code +
                                     "\",method=\"" + method + "\"}");
  };
  // Known from the start.
  CHECK(MetricValue(*metrics, "mentor_grpc_server_started_total" + work) == 0);
  CHECK(handled("OK", "RolloutService/Work") == 0);
  auto channel = MakeChannel({.address = (*server)->address()});
  REQUIRE(channel.ok());
  const auto stub = v1::RolloutService::NewStub(*channel);
  v1::WorkRequest message;
  message.mutable_result()->set_attempt(7);
  v1::WorkResponse answer;
  for (const bool given_up : {false, true}) {
    INFO("given up " << given_up);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    auto stream = stub->Work(&context);
    REQUIRE(stream->Write(message));
    do {
      REQUIRE(stream->Read(&answer));
    } while (!answer.has_unit());
    CHECK(MetricValue(*metrics, "mentor_grpc_server_started_total" + work) == (given_up ? 2 : 1));
    CHECK(MetricValue(*metrics, "mentor_grpc_server_streams" + work) == 1);
    if (given_up) {
      context.TryCancel();
      CHECK(stream->Finish().error_code() == grpc::CANCELLED);
    } else {
      stream->WritesDone();
      while (stream->Read(&answer)) {
      }
      CHECK(stream->Finish().ok());
      // The call is counted before the client hears of it.
      CHECK(handled("OK", "RolloutService/Work") == 1);
      CHECK(MetricValue(*metrics, "mentor_grpc_server_handling_seconds_count" + work) == 1);
      CHECK(MetricValue(*metrics, "mentor_grpc_server_streams" + work) == 0);
    }
  }
  // Services of the library too, by their full names.
  CHECK(HealthOf(*channel, "unknown") == "NOT_FOUND");
  CHECK(handled("NOT_FOUND", "grpc.health.v1.Health/Check") == 1);
  (*server)->Shutdown(kPatience);
  CHECK(MetricValue(*metrics, "mentor_grpc_server_streams" + work) == 0);
  CHECK(MetricValue(*metrics, "mentor_grpc_server_handling_seconds_count" + work) == 2);
}

TEST_CASE("server: messages and bytes on streams are counted by direction", "[loopback]") {
  const auto metrics = Metrics::Create();
  const StreamMetrics stream = MakeStreamMetrics(metrics.get(), "RolloutService/Work");
  double count = 0;
  for (prometheus::Counter* counter :
       {stream.messages_sent, stream.messages_received, stream.bytes_sent, stream.bytes_received}) {
    REQUIRE(counter != nullptr);
    counter->Increment(++count);
  }
  const auto value = [&](const std::string& what, const std::string& direction) {
    return testing::MetricValue(*metrics, "mentor_grpc_" + what + "_total{direction=\"" +
                                              direction + "\",method=\"RolloutService/Work\"}");
  };
  CHECK(value("messages", "sent") == 1);
  CHECK(value("messages", "received") == 2);
  CHECK(value("message_bytes", "sent") == 3);
  CHECK(value("message_bytes", "received") == 4);
}

TEST_CASE("server: a channel finds a server that comes back", "[loopback]") {
  EchoService service;
  auto server = Server::Start({}, {&service});
  REQUIRE(server.ok());
  const std::string address = (*server)->address();
  auto channel = MakeChannel({.address = address});
  REQUIRE(channel.ok());
  REQUIRE(Echo(*channel).ok());
  (*server)->Shutdown(milliseconds(0));
  server->reset();
  CHECK_FALSE(Echo(*channel).ok());
  EchoService again;
  auto second = Server::Start({.address = address}, {&again});
  INFO(second.status());
  REQUIRE(second.ok());
  Reconnector reconnector;
  absl::Status last;
  for (int attempt = 0; attempt < 100 && reconnector.Wait(); ++attempt) {
    grpc::experimental::ChannelResetConnectionBackoff(channel->get());
    if (last = Echo(*channel); last.ok()) break;
  }
  CHECK(last.ok());
}

TEST_CASE("backoff: full jitter under a growing bound", "[unit]") {
  const Backoff backoff;
  CHECK(backoff.Delay(0, 0.999) == milliseconds(100));
  CHECK(backoff.Delay(1, 0.999) == milliseconds(200));
  CHECK(backoff.Delay(3, 0.5) == milliseconds(400));
  CHECK(backoff.Delay(40, 0.999) == milliseconds(4995));
  CHECK(backoff.Delay(1'000'000, 0.001) == milliseconds(5));
}

TEST_CASE("reconnector: the first attempt is at once, Stop ends a wait", "[loopback]") {
  Reconnector reconnector;
  CHECK(reconnector.Wait());
  auto waiting =
      std::async(std::launch::async, [&] { return reconnector.Wait(std::chrono::hours(1)); });
  reconnector.Stop();
  REQUIRE(waiting.wait_for(kPatience) == std::future_status::ready);
  CHECK_FALSE(waiting.get());
  CHECK_FALSE(reconnector.Wait());
}

TEST_CASE("status: code, message, reason, facts and field violations cross the wire", "[unit]") {
  Violations violations;
  violations.Add("spec.seed", "is missing");
  violations.Add("spec.rule", "unknown");
  const absl::Status sent = ToStatus(violations);
  const absl::Status got = FromGrpc(ToGrpc(sent));
  CHECK(got == sent);
  CHECK(ReasonOf(got) == "INVALID_FIELD");
  CHECK(FromGrpc(ToGrpc(absl::OkStatus())).ok());
  const absl::Status plain = absl::NotFoundError("x");
  CHECK(FromGrpc(ToGrpc(plain)) == plain);
  CHECK(ReasonOf(plain).empty());
  // Details stay below the limit of trailers; the reason comes first.
  for (int i = 0; i < 1000; ++i)
    violations.Add("field" + std::to_string(i), "a description that is not very short");
  const grpc::Status cut = ToGrpc(ToStatus(violations));
  CHECK(cut.error_details().size() <= 4096);
  CHECK(cut.error_message().size() <= 2048);
  CHECK(cut.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(ReasonOf(FromGrpc(cut)) == "INVALID_FIELD");
}

}  // namespace mentor::rpc::TEST_FILE
