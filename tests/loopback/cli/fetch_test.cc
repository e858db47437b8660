// What `mentor fetch` takes from a service. The service of these tests lists and sends what it is
// told to.
#include "cli/fetch.h"

#include <filesystem>
#include <string>

#include "cli/ctl/settings.h"
#include "cli/local/run_hash.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/rpc/server.h"
#include "common/spec/spec.h"
#include "common/uuid.h"
#include "mentor/v1/experiment_service.grpc.pb.h"
#include "meta_learner/experiment/checked_spec.h"
#include "meta_learner/store/checkpoint.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using meta_learner::Checkpoint;

// A service with one experiment and one checkpoint.
class OneCheckpoint : public v1::ExperimentService::Service {
 public:
  grpc::Status GetExperiment(grpc::ServerContext*, const v1::GetExperimentRequest*,
                             v1::Experiment* response) override {
    *response = experiment;
    return grpc::Status::OK;
  }
  grpc::Status ListCheckpoints(grpc::ServerContext*, const v1::ListCheckpointsRequest*,
                               v1::ListCheckpointsResponse* response) override {
    *response->add_checkpoints() = listed;
    return grpc::Status::OK;
  }
  grpc::Status ListArtifacts(grpc::ServerContext*, const v1::ListArtifactsRequest*,
                             v1::ListArtifactsResponse*) override {
    return grpc::Status::OK;
  }
  grpc::Status QueryMetrics(grpc::ServerContext*, const v1::QueryMetricsRequest*,
                            v1::QueryMetricsResponse*) override {
    return grpc::Status::OK;
  }
  grpc::Status DownloadCheckpoint(grpc::ServerContext*, const v1::DownloadRequest* request,
                                  grpc::ServerWriter<v1::DownloadResponse>* writer) override {
    v1::DownloadResponse piece;
    piece.set_offset(request->offset());
    piece.set_data(bytes.substr(request->offset()));
    piece.set_crc32c(Crc32c(piece.data()));
    piece.set_size_bytes(bytes.size());
    piece.set_sha256(Sha256Hex(bytes));
    writer->Write(piece);
    return grpc::Status::OK;
  }

  v1::Experiment experiment;
  v1::Checkpoint listed;
  std::string bytes;
};

// Fetches this checkpoint as that of outer update 2 of an experiment with this UID and spec. True
// if the run is there then, with its hash.
bool IsTaken(const Checkpoint& sent, const std::string& uid, const v1::ExperimentSpec& spec) {
  const testing::TempFolder folder;
  const auto info = meta_learner::WriteCheckpoint(folder.path() / "sent", sent);
  REQUIRE(info.ok());
  OneCheckpoint service;
  service.bytes = ReadFile(info->path, 1 << 20).value();
  service.experiment.set_name("experiments/one");
  service.experiment.set_uid(uid);
  *service.experiment.mutable_spec() = spec;
  service.experiment.set_state(v1::Experiment::STATE_SUCCEEDED);
  service.experiment.mutable_progress()->set_outer_updates(2);
  // Its row names this very file.
  service.listed.set_name("experiments/one/checkpoints/00000002");
  service.listed.set_outer_step(2);
  service.listed.set_size_bytes(info->size_bytes);
  service.listed.set_sha256(info->sha256);
  service.listed.set_state_hash(info->state_hash);
  const auto server = rpc::Server::Start({.address = "127.0.0.1:0"}, {&service});
  REQUIRE(server.ok());
  ctl::GlobalFlags connection;
  connection.server = (*server)->address();
  connection.quiet = true;
  const std::filesystem::path out = folder.path() / "run";
  const bool fetched = FetchRun(connection, "one", out) == 0;
  (*server)->Shutdown(std::chrono::seconds(5));
  CHECK(std::filesystem::exists(out) == fetched);
  if (!fetched) return false;
  const auto hash = HashRun(out);
  REQUIRE(hash.ok());
  CHECK(hash->damaged.empty());
  return hash->state_hash == info->state_hash;
}

TEST_CASE("fetch: a checkpoint of another experiment, outer update or spec is not taken",
          "[loopback]") {
  const v1::ExperimentSpec spec = testing::Checked(testing::TinySpec(
      "benchmark { name: 'point_reach' } rule { outer_updates: 2 } evaluation { goals: 2 }"));
  const Checkpoint own = {.experiment_uid = NewUuid(),
                          .outer_step = 2,
                          .spec_hash = SpecHash(spec),
                          .build = "b",
                          .sections = {{"weights", "w"}}};
  const auto is_taken = [&](const Checkpoint& sent) {
    return IsTaken(sent, own.experiment_uid, WithDefaults(spec));
  };
  CHECK(is_taken(own));
  Checkpoint other = own;
  other.experiment_uid = NewUuid();
  CHECK_FALSE(is_taken(other));
  other = own;
  other.outer_step = 1;
  CHECK_FALSE(is_taken(other));
  other = own;
  other.spec_hash = "s";
  CHECK_FALSE(is_taken(other));
}

}  // namespace mentor::TEST_FILE
