// Credentials on the wire: which callers get in with which credentials, in each mode. Certificates
// that change under load; tokens that change.
#include <atomic>
#include <future>
#include <thread>

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include "common/rpc/auth.h"
#include "common/rpc/channel.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/health.h"
#include "common/rpc/server.h"
#include "common/rpc/stream.h"
#include "common/status.h"
#include "mentor/v1/experiment_service.grpc.pb.h"
#include "tests/certificate_files.h"
#include "tests/mailbox.h"
#include "tests/metric_value.h"
#include "tests/testing.h"

namespace mentor::rpc::TEST_FILE {

using grpc::StatusCode;
using mentor::testing::kPatience;
using mentor::testing::MetricValue;
using mentor::testing::ReadText;
using mentor::testing::TestCertificates;
using mentor::testing::TestTokens;
using mentor::testing::WriteText;
using std::chrono::milliseconds;

constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

// One message to any method; headers are added as they are.
grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                  const std::vector<std::pair<std::string, std::string>>& headers = {}) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  for (const auto& [key, value] : headers) context.AddMetadata(key, value);
  grpc::ByteBuffer request, response;
  grpc::Slice nothing("");
  request = grpc::ByteBuffer(&nothing, 1);
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, path, {}, &request, &response,
                 [&](grpc::Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

// Says who called.
class WhoService : public v1::ExperimentService::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetExperiment(grpc::CallbackServerContext* context,
                                          const v1::GetExperimentRequest*,
                                          v1::Experiment* response) override {
    const Caller caller = CallerOf(*context);
    response->set_name(caller.name + " " + RoleName(caller.role) +
                       (caller.everything ? " everything" : ""));
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

std::string Who(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = v1::ExperimentService::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  v1::Experiment answer;
  const grpc::Status status = stub->GetExperiment(&context, {}, &answer);
  return status.ok() ? answer.name() : FromGrpc(status).ToString();
}

std::shared_ptr<grpc::Channel> Channel(const ChannelOptions& options) {
  auto channel = MakeChannel(options);
  INFO(channel.status());
  REQUIRE(channel.ok());
  return *channel;
}

// With certificates that MakeChannel would refuse.
std::shared_ptr<grpc::Channel> RawChannel(const std::string& address, const std::string& authority,
                                          const std::string& certificate, const std::string& key) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address,
                                   grpc::SslCredentials({.pem_root_certs = ReadText(authority),
                                                         .pem_private_key = ReadText(key),
                                                         .pem_cert_chain = ReadText(certificate)}),
                                   arguments);
}

struct Method {
  v1::Role role;
  const char* path;
};
// One of each class.
constexpr Method kMethods[] = {
    {v1::ROLE_VIEWER, "/mentor.v1.ExperimentService/ListExperiments"},
    {v1::ROLE_OPERATOR, "/mentor.v1.ExperimentService/CreateExperiment"},
    {v1::ROLE_ACTOR, "/mentor.v1.RolloutService/Work"},
    {v1::ROLE_ACTOR, "/mentor.v1.RolloutService/GetLoad"},
    {v1::ROLE_LEARNER, "/mentor.v1.ShardService/Run"},
};
constexpr v1::Role kRoles[] = {v1::ROLE_VIEWER, v1::ROLE_OPERATOR, v1::ROLE_ADMIN, v1::ROLE_ACTOR,
                               v1::ROLE_LEARNER};

enum class Mode { kLocal, kTls, kMutual, kMutualAndTokens, kPlain };

struct Table {
  explicit Table(Mode mode) : mode(mode), tokens(files.path("tokens")) {
    ServerOptions options{.metrics = metrics.get()};
    if (mode == Mode::kPlain) {
      options.address = "0.0.0.0:0";
      options.allow_insecure = true;
    }
    if (tls()) {
      options.tls = {.certificate = files.crt("meta-learner"), .key = files.key("meta-learner")};
      if (mutual()) options.tls.authority = files.crt("ca");
    }
    if (mode != Mode::kMutual) options.tokens = tokens.path();
    // There is no such service: an admitted caller hears that from gRPC itself.
    auto started = Server::Start(options, {});
    INFO(started.status());
    REQUIRE(started.ok());
    server = *std::move(started);
  }
  bool mutual() const { return mode == Mode::kMutual || mode == Mode::kMutualAndTokens; }
  bool tls() const { return mutual() || mode == Mode::kTls; }

  // Makes a channel as a user does. An empty name means no certificate, an empty file no token.
  std::shared_ptr<grpc::Channel> Make(const std::string& pair, const std::string& token_file) {
    ChannelOptions options{.address = server->address(), .token_file = token_file};
    if (tls()) options.tls.authority = files.crt("ca");
    if (!pair.empty()) options.tls = files.files(pair);
    options.allow_insecure = mode == Mode::kPlain;
    return Channel(options);
  }
  void Expect(const std::shared_ptr<grpc::Channel>& channel, const std::string& what,
              const std::function<StatusCode(v1::Role)>& expected) {
    for (const Method& method : kMethods) {
      const grpc::Status status = Call(channel, method.path);
      INFO("mode " << static_cast<int>(mode) << ", " << what << ", " << method.path << ": "
                   << status.error_code() << " " << status.error_message());
      CHECK(status.error_code() == expected(method.role));
    }
  }

  const Mode mode;
  TestCertificates files;
  TestTokens tokens;
  std::unique_ptr<Metrics> metrics = Metrics::Create();
  std::unique_ptr<Server> server;
};

TEST_CASE("security: {mode} x {credentials} x {method}", "[loopback]") {
  const Mode mode =
      GENERATE(Mode::kLocal, Mode::kTls, Mode::kMutual, Mode::kMutualAndTokens, Mode::kPlain);
  Table table(mode);
  using Expected = std::function<StatusCode(v1::Role)>;
  const auto always = [](StatusCode code) -> Expected { return [code](v1::Role) { return code; }; };
  // The answers that a caller of a role may expect for a missing method.
  const auto by_role = [](v1::Role held) -> Expected {
    return [held](v1::Role required) {
      return Includes(held, required) ? StatusCode::UNIMPLEMENTED : StatusCode::PERMISSION_DENIED;
    };
  };
  const std::string wrong = table.files.path("wrong-token");
  WriteText(wrong, "mentor_0123456789");
  const auto pair_of = [&](v1::Role role) { return table.mutual() ? RoleName(role) : ""; };

  table.Expect(table.Make("", ""), "nothing",
               always(table.mutual() ? StatusCode::UNAVAILABLE : StatusCode::UNAUTHENTICATED));
  table.Expect(table.Make(pair_of(v1::ROLE_OPERATOR), wrong), "wrong token",
               mode == Mode::kMutual ? by_role(v1::ROLE_OPERATOR)  // Knows no tokens at all.
                                     : always(StatusCode::UNAUTHENTICATED));
  for (const v1::Role role : kRoles) {
    table.Expect(table.Make(pair_of(role), mode == Mode::kMutual ? "" : table.tokens.file(role)),
                 "the right ones of " + RoleName(role), by_role(role));
  }
  if (mode == Mode::kMutualAndTokens) {
    table.Expect(table.Make("operator", table.tokens.file(v1::ROLE_VIEWER)), "narrower token",
                 by_role(v1::ROLE_VIEWER));
    table.Expect(table.Make("viewer", table.tokens.file(v1::ROLE_OPERATOR)), "narrower certificate",
                 by_role(v1::ROLE_VIEWER));
    table.Expect(table.Make("plain", table.tokens.file(v1::ROLE_ACTOR)), "no role in it",
                 by_role(v1::ROLE_ACTOR));
    table.Expect(table.Make("plain", ""), "no role anywhere", always(StatusCode::UNAUTHENTICATED));
  }
  const std::string& address = table.server->address();
  const auto& files = table.files;
  if (table.tls()) {
    // A client that trusts another authority; one without TLS.
    table.Expect(
        RawChannel(address, files.path("other/ca.crt"), files.crt("actor"), files.key("actor")),
        "trusts others", always(StatusCode::UNAVAILABLE));
    table.Expect(Channel({.address = address, .token_file = table.tokens.file(v1::ROLE_OPERATOR)}),
                 "plain text", always(StatusCode::UNAVAILABLE));
  }
  if (table.mutual()) {
    table.Expect(RawChannel(address, files.crt("ca"), files.crt("expired"), files.key("expired")),
                 "expired", always(StatusCode::UNAVAILABLE));
    table.Expect(RawChannel(address, files.crt("ca"), files.path("other/operator.crt"),
                            files.path("other/operator.key")),
                 "other authority", always(StatusCode::UNAVAILABLE));
    // A server's certificate is no client's.
    table.Expect(
        RawChannel(address, files.crt("ca"), files.crt("meta-learner"), files.key("meta-learner")),
        "server's certificate", always(StatusCode::UNAVAILABLE));
  }
  // Without credentials nothing can be guessed or listed; with any, gRPC's own services answer.
  const auto stranger = table.Make("", "");
  const auto viewer = table.Make(pair_of(v1::ROLE_VIEWER),
                                 mode == Mode::kMutual ? "" : table.tokens.file(v1::ROLE_VIEWER));
  for (const char* path :
       {"/grpc.health.v1.Health/Check", kReflection, "/x.Y/Z", "/mentor.v1.ExperimentService/X"}) {
    INFO(path);
    CHECK(Call(stranger, path).error_code() ==
          (table.mutual() ? StatusCode::UNAVAILABLE : StatusCode::UNAUTHENTICATED));
  }
  CHECK(Call(viewer, "/x.Y/Z").error_code() == StatusCode::UNIMPLEMENTED);
  CHECK(Call(viewer, "/mentor.v1.ExperimentService/X").error_code() == StatusCode::UNIMPLEMENTED);
  CHECK(Call(viewer, kReflection).error_code() == StatusCode::OK);
  CHECK(AskHealth(viewer, "readiness", kPatience).ok());
  if (!table.mutual()) {
    CHECK(Call(stranger, "/x.Y/Z").error_message() == "missing or unknown credentials");
    CHECK(MetricValue(*table.metrics, "mentor_auth_failures_total{reason=\"missing\"}") >= 8);
  }
  CHECK(MetricValue(*table.metrics, "mentor_auth_failures_total{reason=\"role\"}") >= 11);
}

TEST_CASE("security: a handler knows its caller", "[loopback]") {
  const TestCertificates files;
  const TestTokens tokens(files.path("tokens"));
  WhoService service;
  const auto start = [&](ServerOptions options) {
    auto server = Server::Start(options, {&service});
    INFO(server.status());
    REQUIRE(server.ok());
    return *std::move(server);
  };
  const std::string token = tokens.file(v1::ROLE_OPERATOR);
  SECTION("nobody asks") {
    const auto server = start({});
    CHECK(Who(Channel({.address = server->address()})) == "local operator everything");
    CHECK(Who(Channel({.address = server->address(), .token_file = token})) ==
          "local operator everything");
    CHECK(Who(server->InProcessChannel()) == "local operator everything");
  }
  SECTION("tokens, two of them on one connection") {
    const auto server = start({.tokens = tokens.path()});
    const auto channel = Channel({.address = server->address(), .token_file = token});
    CHECK(Who(channel) == "operator-token operator");
    CHECK(Who(server->InProcessChannel()) == "local operator everything");
    const auto bare = Channel({.address = server->address()});
    const auto stub = v1::ExperimentService::NewStub(bare);
    for (const v1::Role role : {v1::ROLE_VIEWER, v1::ROLE_OPERATOR, v1::ROLE_VIEWER}) {
      grpc::ClientContext context;
      context.AddMetadata("authorization", "Bearer " + tokens.token(role));
      v1::Experiment answer;
      CHECK(stub->GetExperiment(&context, {}, &answer).ok());
      CHECK(answer.name() == RoleName(role) + "-token " + RoleName(role));
    }
  }
  SECTION("certificates") {
    WriteText(files.path("roles"), "viewer plain\n", 0644);
    ServerOptions options{.tls = files.files("meta-learner")};
    options.roles = files.path("roles");
    const auto server = start(options);
    const auto who = [&](const std::string& pair) {
      return Who(Channel({.address = server->address(), .tls = files.files(pair)}));
    };
    CHECK(who("operator") == "operator operator");
    CHECK(who("plain") == "plain viewer");
    CHECK(who("actor").starts_with(
        "PERMISSION_DENIED: this method takes the role viewer; 'actor' has actor"));
  }
  SECTION("plain text with tokens") {
    const auto server =
        start({.address = "0.0.0.0:0", .tokens = tokens.path(), .allow_insecure = true});
    const std::string address = server->address();
    CHECK(Who(Channel({.address = address, .token_file = token, .allow_insecure = true})) ==
          "operator-token operator");
    CHECK(
        Who(Channel({.address = address, .allow_insecure = true})).starts_with("UNAUTHENTICATED"));
  }
}

TEST_CASE("security: what cannot be safe is refused at the start", "[loopback]") {
  const TestCertificates files;
  const TestTokens tokens(files.path("tokens"));
  const auto refused = [&](const ServerOptions& options, const std::string& part) {
    const auto server = Server::Start(options, {});
    INFO(server.status());
    INFO(part);
    CHECK(server.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(server.status().message()).find(part) != std::string::npos);
  };
  const TlsFiles own{.certificate = files.crt("meta-learner"), .key = files.key("meta-learner")};
  refused({.address = "0.0.0.0:0"}, "mentorctl certs init");
  refused({.address = "0.0.0.0:0", .tokens = tokens.path()}, "without TLS");
  refused({.address = "0.0.0.0:0", .tls = own}, "--tokens");
  refused(
      {.address = "0.0.0.0:0", .tls = files.files("meta-learner"), .client_certificates = false},
      "--tokens");
  refused({.tls = {.authority = files.crt("ca")}}, "--tls_cert and --tls_key are missing");
  refused({.tls = own, .roles = files.path("none")}, "--roles");
  refused({.tls = files.files("expired")}, "has expired");
  refused({.tokens = files.path("none")}, "--tokens");
  WriteText(files.path("open"), "viewer a " + std::string(64, 'a'), 0644);
  refused({.tokens = files.path("open")}, "chmod 600");
  WriteText(files.path("empty"), "# none\n");
  refused({.tokens = files.path("empty")}, "mentorctl token new");
  CHECK(Server::Start({.address = "0.0.0.0:0", .tls = own, .tokens = tokens.path()}, {}).ok());
  CHECK(Server::Start({.address = "0.0.0.0:0", .tls = files.files("meta-learner")}, {}).ok());
  CHECK(Server::Start({.address = "0.0.0.0:0", .tls = own, .allow_insecure = true}, {}).ok());
  // Clients.
  const auto client = [](const ChannelOptions& options) {
    return std::string(MakeChannel(options).status().message());
  };
  CHECK(client({.address = "10.0.0.1:1"}).find("--tls_ca") != std::string::npos);
  CHECK(client({.address = "127.0.0.1:1",
                .tls = {.certificate = files.crt("actor"), .key = files.key("actor")}})
            .find("--tls_ca") != std::string::npos);
  CHECK(client({.address = "127.0.0.1:1", .token_file = files.path("none")}).find("--token_file") !=
        std::string::npos);
}

TEST_CASE("security: 100 new certificates under load, and no call fails", "[loopback]") {
  const TestCertificates files;
  const auto metrics = Metrics::Create();
  const auto server = Server::Start({.tls = files.files("meta-learner"),
                                     .metrics = metrics.get(),
                                     .reload_period = milliseconds(5)},
                                    {});
  REQUIRE(server.ok());
  const std::string address = (*server)->address();
  std::atomic<bool> over{false};
  std::atomic<int> calls{0}, failures{0};
  std::atomic<int> rotation{0};
  WriteText(files.path("client.crt"), ReadText(files.crt("viewer")));
  WriteText(files.path("client.key"), ReadText(files.key("viewer")));
  // Each call has its own connection and handshake; one long channel calls too.
  auto fresh = std::async(std::launch::async, [&] {
    std::string first;
    while (!over) {
      const auto status = Call(
          RawChannel(address, files.crt("ca"), files.path("client.crt"), files.path("client.key")),
          "/x.Y/Z");
      ++calls;
      if (status.error_code() != StatusCode::UNIMPLEMENTED) {
        ++failures;
        if (first.empty()) first = status.error_message();
      }
    }
    return first;
  });
  const TlsFiles own = files.files("meta-learner");
  int broken = 0;
  for (; rotation < 100; ++rotation) {
    // Renews as a user does, key and certificate one after the other, so the pair does not match
    // for a moment. Sometimes a broken file comes in between and stays for a while.
    REQUIRE(InitCertificates(files.path("ours"), {}).ok());
    const std::string expected = ReadText(own.certificate);
    if (rotation % 10 == 9) {
      const std::string good = ReadText(own.key);
      WriteText(own.key, rotation % 20 == 9 ? "garbage" : ReadText(files.key("viewer")));
      ++broken;
      const auto deadline = std::chrono::steady_clock::now() + kPatience;
      while (MetricValue(*metrics, "mentor_tls_reload_failures_total") < broken &&
             std::chrono::steady_clock::now() < deadline) {
        Call(RawChannel(address, files.crt("ca"), files.path("client.crt"),
                        files.path("client.key")),
             "/x.Y/Z");
      }
      WriteText(own.key, good);
    }
    // At least one handshake with the present files before the next ones come.
    const int before = calls;
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (calls < before + 2 && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
  }
  over = true;
  const std::string first = fresh.get();
  INFO("first failure: " << first);
  CHECK(failures == 0);
  CHECK(calls >= 200);
  CHECK(MetricValue(*metrics, "mentor_tls_reload_failures_total") >= broken);
  CHECK(broken == 10);
}

TEST_CASE("security: a client takes new certificates and a new token when it connects again",
          "[loopback]") {
  const TestCertificates files;
  TestTokens tokens(files.path("tokens"));
  WhoService service;
  ServerOptions options{.tls = files.files("meta-learner")};
  const auto server = Server::Start(options, {&service});
  REQUIRE(server.ok());
  const TlsFiles mine{.certificate = files.path("me.crt"),
                      .key = files.path("me.key"),
                      .authority = files.crt("ca")};
  const auto become = [&](const std::string& name) {
    WriteText(mine.key, ReadText(files.key(name)));
    WriteText(mine.certificate, ReadText(files.crt(name)));
  };
  become("viewer");
  const auto source = ChannelSource::Make({.address = (*server)->address(), .tls = mine});
  REQUIRE(source.ok());
  CHECK(Who((*source)->Get()) == "viewer viewer");
  CHECK((*source)->Get() == (*source)->Get());
  become("operator");
  CHECK(Who((*source)->Get()) == "operator operator");
  WriteText(mine.certificate, "garbage");
  CHECK(Who((*source)->Get()) == "operator operator");

  // Tokens: the client's file changes, and the server's table.
  const auto guarded =
      Server::Start({.tokens = tokens.path(), .reload_period = milliseconds(5)}, {&service});
  REQUIRE(guarded.ok());
  const std::string file = files.path("my-token");
  WriteText(file, tokens.token(v1::ROLE_VIEWER));
  const auto channel = Channel({.address = (*guarded)->address(), .token_file = file});
  CHECK(Who(channel) == "viewer-token viewer");
  const auto fresh = MakeToken(v1::ROLE_OPERATOR, "fresh").value();
  WriteText(tokens.path(), fresh.line + "\n");
  const auto becomes = [&](const std::string& expected) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    std::string who;
    while ((who = Who(channel)) != expected && std::chrono::steady_clock::now() < deadline) {
    }
    return who == expected;
  };
  CHECK(becomes("UNAUTHENTICATED: missing or unknown credentials"));
  WriteText(file, fresh.token.Reveal());
  CHECK(becomes("fresh operator"));
}

TEST_CASE("security: a caller that was let in is known by its connection", "[loopback]") {
  WhoService service;
  const auto metrics = Metrics::Create();
  for (const char* address : {"127.0.0.1:0", "[::1]:0", "localhost:0", "[::]:0"}) {
    INFO(address);
    const auto server = Server::Start(
        {.address = address, .allow_insecure = true, .metrics = metrics.get()}, {&service});
    if (std::string_view(address) == "[::1]:0" && !server.ok()) continue;  // No IPv6 here.
    REQUIRE(server.ok());
    const auto channel = Channel(
        {.address = "localhost:" + std::to_string((*server)->port()), .allow_insecure = true});
    // More than a stranger may send over one connection.
    const auto stub = v1::ExperimentService::NewStub(channel);
    v1::GetExperimentRequest request;
    request.set_name(std::string(4 << 20, 'x'));
    for (int i = 0; i < 6; ++i) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + kPatience);
      v1::Experiment answer;
      const grpc::Status status = stub->GetExperiment(&context, request, &answer);
      INFO(status.error_message());
      CHECK(status.ok());
    }
    // Together the calls took longer than the interval of looks at strangers.
    const auto until = std::chrono::steady_clock::now() + milliseconds(300);
    while (std::chrono::steady_clock::now() < until) {
      grpc::ClientContext context;
      v1::Experiment answer;
      CHECK(stub->GetExperiment(&context, {}, &answer).ok());
    }
    CHECK(MetricValue(*metrics, "mentor_rpc_strangers_ended_total") == 0);
  }
}

TEST_CASE("security: streams of a process are bounded", "[loopback]") {
  StreamSlot::SetLimit(2);
  {
    const StreamSlot first, second, third;
    CHECK(first.status().ok());
    CHECK(second.status().ok());
    CHECK(ReasonOf(third.status()) == "TOO_MANY_STREAMS");
    CHECK(RetryDelayOf(third.status()).has_value());
  }
  const StreamSlot again;
  CHECK(again.status().ok());
  StreamSlot::SetLimit(kStreamsMax);
}

}  // namespace mentor::rpc::TEST_FILE
