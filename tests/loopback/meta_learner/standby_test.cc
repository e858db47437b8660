// The answers of a meta-learner that stands by, with a leader and without one.
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "common/metrics.h"
#include "common/rpc/channel.h"
#include "common/rpc/grpc_status.h"
#include "common/status.h"
#include "mentor/v1/experiment_service.grpc.pb.h"
#include "meta_learner/leadership.h"
#include "meta_learner/store/state_folder.h"
#include "tests/postgres_server.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

constexpr std::chrono::seconds kPatience{30};

TEST_CASE("standby: between a leader's end and the takeover nobody is named as leading",
          "[loopback]") {
  const auto server = testing::PostgresServer::Start();
  if (server == nullptr) {
    WARN("skipped: PostgreSQL is not installed");
    return;
  }
  const std::string database = server->NewDatabase();
  const testing::TempFolder first, second;
  auto leader = OpenStore({.folder = first.path(),
                           .database = database,
                           .advertise = "leader.example:1",
                           .try_only = true})
                    .value();
  const std::string name = testing::CreateSmall(leader.get(), "one").name();
  // While another process holds its folder, the one that stands by cannot take over.
  const auto held = TakeStateFolder(second.path());
  REQUIRE(held.ok());

  const auto metrics = Metrics::Create();
  std::promise<std::string> listening;
  std::future<std::string> address = listening.get_future();
  const Standby standby({.store = {.folder = second.path(), .database = database, .try_only = true},
                         .control = {},
                         .server = {},
                         .on_listening = [&](const std::string& at) { listening.set_value(at); }},
                        metrics.get());
  REQUIRE(address.wait_for(kPatience) == std::future_status::ready);
  const auto stub =
      v1::ExperimentService::NewStub(rpc::MakeChannel({.address = address.get()}).value());
  const auto pause = [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::PauseExperimentRequest request;
    request.set_name(name);
    v1::Experiment response;
    return rpc::FromGrpc(stub->PauseExperiment(&context, request, &response));
  };
  const auto get = [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::GetExperimentRequest request;
    request.set_name(name);
    v1::Experiment response;
    return rpc::FromGrpc(stub->GetExperiment(&context, request, &response));
  };
  CHECK(get().ok());
  absl::Status refused = pause();
  CHECK(absl::IsUnavailable(refused));
  CHECK(ReasonOf(refused) == "NOT_LEADER");
  CHECK(MetadataOf(refused, "leader") == "leader.example:1");

  leader.reset();
  // It looks twice a second.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (MetadataOf(refused, "leader").has_value() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
    refused = pause();
  }
  CHECK(ReasonOf(refused) == "NOT_LEADER");
  CHECK_FALSE(MetadataOf(refused, "leader").has_value());
  CHECK(refused.message().find("leader.example") == std::string_view::npos);
  CHECK(get().ok());  // Reads do not need a leader.
  CHECK_FALSE(standby.over());
  CHECK(standby.available());
}

}  // namespace mentor::meta_learner::TEST_FILE
