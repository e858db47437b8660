// Servers and channels: credentials, health, addresses, shutdown.
#include "common/rpc/server.h"

#include <cstdlib>
#include <fstream>
#include <future>
#include <sstream>

#include <grpcpp/generic/generic_stub.h>

#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "common/rpc/stream.h"
#include "mentor/v1/rollout_service.grpc.pb.h"
#include "tests/mailbox.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::rpc {
namespace {

using mentor::testing::kPatience;
using mentor::testing::Mailbox;
using mentor::testing::TempFolder;
using std::chrono::milliseconds;

// Answers every message with a unit of the same attempt.
class EchoService : public v1::RolloutService::CallbackService {
 public:
  grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* Work(grpc::CallbackServerContext* context) override {
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

// One message there and back, or the status of the stream.
absl::Status Echo(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = v1::RolloutService::NewStub(channel);
  auto answers = std::make_shared<Mailbox<absl::Status>>();
  auto stream = ClientStream<v1::WorkRequest, v1::WorkResponse>::Make({});
  stream->Start({.on_message =
                     [stream, answers](const v1::WorkResponse& message) {
                       answers->Push(message.unit().attempt() == 7 ? absl::OkStatus() : absl::InternalError("wrong answer"));
                       stream->Close(absl::OkStatus());
                     },
                 .on_closed = [answers](const absl::Status& status) { answers->Push(status); }},
                [&](auto* context, auto* reactor) { stub->async()->Work(context, reactor); });
  v1::WorkRequest message;
  message.mutable_result()->set_attempt(7);
  stream->Send(message);
  return answers->Pop();
}

// Certificates made by openssl: an authority, a server's pair for localhost, a client's pair, and a stranger's.
struct Certificates {
  Certificates() {
    const std::string d = folder.path().string() + "/";
    const auto run = [](const std::string& command) {
      INFO(command);
      REQUIRE(std::system((command + " >/dev/null 2>&1").c_str()) == 0);
    };
    const std::string key = " -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes ";
    for (const char* name : {"ca", "other"}) {
      run("openssl req -x509" + key + "-keyout " + d + name + ".key -out " + d + name + ".crt -days 2 -subj /CN=" + name +
          " -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign");
    }
    const auto leaf = [&](const std::string& name, const std::string& authority, const std::string& extensions) {
      std::ofstream(d + name + ".ext") << extensions;
      run("openssl req -new" + key + "-keyout " + d + name + ".key -out " + d + name + ".csr -subj /CN=" + name);
      run("openssl x509 -req -in " + d + name + ".csr -CA " + d + authority + ".crt -CAkey " + d + authority +
          ".key -CAcreateserial -out " + d + name + ".crt -days 2 -extfile " + d + name + ".ext");
    };
    leaf("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n");
    leaf("actor", "ca", "extendedKeyUsage=clientAuth\n");
    leaf("stranger", "other", "extendedKeyUsage=clientAuth\n");
  }
  std::string operator()(const std::string& name) const { return (folder.path() / name).string(); }
  TempFolder folder;
};

TEST_CASE("tls: only peers with the right certificates talk", "[loopback]") {
  const Certificates files;
  EchoService service;
  const bool mutual = GENERATE(false, true);
  INFO("mutual TLS " << mutual);
  auto server = Server::Start({.tls = {.certificate = files("server.crt"), .key = files("server.key"),
                                       .authority = mutual ? files("ca.crt") : ""}},
                              {&service});
  INFO(server.status());
  REQUIRE(server.ok());
  const auto try_with = [&](const TlsFiles& tls) {
    auto channel = MakeChannel({.address = (*server)->address(), .tls = tls});
    INFO(channel.status());
    REQUIRE(channel.ok());
    return Echo(*channel);
  };
  // No certificate of its own.
  CHECK(try_with({.authority = files("ca.crt")}).ok() == !mutual);
  // The right one.
  CHECK(try_with({.certificate = files("actor.crt"), .key = files("actor.key"), .authority = files("ca.crt")}).ok());
  // One of another authority.
  CHECK(try_with({.certificate = files("stranger.crt"), .key = files("stranger.key"), .authority = files("ca.crt")}).ok() == !mutual);
  // A server that the client does not trust.
  CHECK_FALSE(try_with({.certificate = files("actor.crt"), .key = files("actor.key"), .authority = files("other.crt")}).ok());
  // No TLS at all.
  CHECK_FALSE(try_with({}).ok());
}

TEST_CASE("tls: files that cannot work are refused at the start, by name", "[loopback]") {
  const Certificates files;
  const auto message = [](const TlsFiles& tls) {
    return std::string(MakeServerCredentials("127.0.0.1:0", tls).status().message());
  };
  const auto has = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  has(message({.certificate = files("server.crt")}), "--tls_key");
  has(message({.certificate = files("none.crt"), .key = files("server.key")}), "none.crt");
  has(message({.certificate = files("server.key"), .key = files("server.key")}), "no PEM certificate");
  has(message({.certificate = files("server.crt"), .key = files("server.crt")}), "no PEM key");
  has(message({.certificate = files("server.crt"), .key = files("actor.key")}), "does not belong");
  has(message({.certificate = files("server.crt"), .key = files("server.key"), .authority = files("none")}), "--tls_ca");
  has(std::string(MakeChannelCredentials("127.0.0.1:1", {.certificate = files("actor.crt"), .key = files("actor.key")}).status().message()),
      "--tls_ca");
}

TEST_CASE("server: no plain text beyond loopback", "[loopback]") {
  EchoService service;
  for (const char* address : {"0.0.0.0:0", "[::]:0", "example.org:0", "127.example.org:0"}) {
    INFO(address);
    const auto server = Server::Start({.address = address}, {&service});
    CHECK(server.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(server.status().message()).find("--tls_cert") != std::string::npos);
    CHECK(MakeChannel({.address = std::string(address)}).status().code() == absl::StatusCode::kInvalidArgument);
  }
  for (const char* address : {"localhost:1", "127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "dns:///localhost:1", "ipv4:127.0.0.1:1"}) {
    INFO(address);
    CHECK(IsLoopback(address));
  }
  CHECK(MakeChannel({.address = "localhost"}).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("server: a port that is taken is an error, not a share", "[loopback]") {
  EchoService service, second_service;
  auto first = Server::Start({}, {&service});
  REQUIRE(first.ok());
  CHECK((*first)->port() > 0);
  const auto second = Server::Start({.address = (*first)->address()}, {&second_service});
  CHECK(second.status().code() == absl::StatusCode::kUnavailable);
  CHECK(std::string(second.status().message()).find((*first)->address()) != std::string::npos);
  auto channel = MakeChannel({.address = (*first)->address()});
  REQUIRE(channel.ok());
  CHECK(Echo(*channel).ok());
}

// grpc.health.v1.Health/Check without its generated code: field 1 of the request is the name, field 1 of the answer the state.
int Health(const std::shared_ptr<grpc::Channel>& channel, const std::string& name) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  grpc::Slice slice(name.empty() ? "" : std::string("\x0a") + static_cast<char>(name.size()) + name);
  grpc::ByteBuffer request(&slice, 1), response;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", {}, &request, &response, [&](grpc::Status status) { done.set_value(status); });
  const grpc::Status status = done.get_future().get();
  if (!status.ok()) return -static_cast<int>(status.error_code());
  std::vector<grpc::Slice> slices;
  REQUIRE(response.Dump(&slices).ok());
  std::string bytes;
  for (const auto& part : slices) bytes.append(reinterpret_cast<const char*>(part.begin()), part.size());
  return bytes.size() == 2 && bytes[0] == 0x08 ? bytes[1] : 0;
}

TEST_CASE("server: health follows readiness", "[loopback]") {
  constexpr int kServing = 1, kNotServing = 2;
  EchoService service;
  auto server = Server::Start({}, {&service});
  REQUIRE(server.ok());
  auto channel = MakeChannel({.address = (*server)->address()});
  REQUIRE(channel.ok());
  CHECK(Health(*channel, "") == kNotServing);
  CHECK(Health(*channel, "readiness") == kNotServing);
  CHECK(Health(*channel, "liveness") == kServing);
  (*server)->SetReady(true);
  CHECK(Health(*channel, "") == kServing);
  CHECK(Health(*channel, "readiness") == kServing);
  (*server)->SetReady(false);
  CHECK(Health(*channel, "readiness") == kNotServing);
  (*server)->SetLive(false);
  CHECK(Health(*channel, "liveness") == kNotServing);
  CHECK(Health(*channel, "unknown") == -static_cast<int>(grpc::StatusCode::NOT_FOUND));
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
  auto waiting = std::async(std::launch::async, [&] { return reconnector.Wait(std::chrono::hours(1)); });
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
  for (int i = 0; i < 1000; ++i) violations.Add("field" + std::to_string(i), "a description that is not very short");
  const grpc::Status cut = ToGrpc(ToStatus(violations));
  CHECK(cut.error_details().size() <= 4096);
  CHECK(cut.error_message().size() <= 2048);
  CHECK(cut.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(ReasonOf(FromGrpc(cut)) == "INVALID_FIELD");
}

}  // namespace
}  // namespace mentor::rpc
