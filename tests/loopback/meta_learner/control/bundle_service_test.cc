#include "meta_learner/control/bundle_service.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <semaphore>

#include "common/bundle.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/pause_point.h"
#include "common/resources/names.h"
#include "common/rpc/auth.h"
#include "common/rpc/bundle_transfer.h"
#include "common/rpc/channel.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/server.h"
#include "common/spec/named_bundles.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "mentor/v1/bundle_service.grpc.pb.h"
#include "mentor/v1/experiment_service.grpc.pb.h"
#include "meta_learner/control/experiment_service.h"
#include "tests/fake_control.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;
using mentor::testing::Contains;
using mentor::testing::TempFolder;
namespace fs = std::filesystem;

// Two operators and an admin.
class Fixture : private testing::FakeSpecs, private testing::FakeOperations {
 public:
  Fixture() {
    std::string lines;
    for (const auto& [name, role] :
         {std::pair("ann", v1::ROLE_OPERATOR), std::pair("bob", v1::ROLE_OPERATOR),
          std::pair("vic", v1::ROLE_VIEWER), std::pair("root", v1::ROLE_ADMIN)}) {
      const auto token = rpc::MakeToken(role, name).value();
      lines += token.line + "\n";
      REQUIRE(WriteFileAtomically(Path(name), token.token.Reveal() + "\n").ok());
    }
    REQUIRE(WriteFileAtomically(Path("tokens"), lines).ok());
    Start();
  }
  ~Fixture() { Stop(); }

  void Start() {
    store_ = OpenStore({.folder = Path("state")}).value();
    shelf_ = BundleShelf::Open({.folder = Path("state") / "bundles", .owner_bytes_max = 10'000'000})
                 .value();
    metrics_ = Metrics::Create();
    const ServiceOptions options{
        .store = store_.get(), .bundles = shelf_.get(), .specs = this, .operations = this};
    experiments_ = std::make_unique<ExperimentService>(options, metrics_.get());
    bundles_ = std::make_unique<BundleService>(options, shelf_.get());
    rpc::ServerOptions server;
    server.tokens = Path("tokens");
    server_ = rpc::Server::Start(server, {experiments_->service(), bundles_->service()}).value();
    Become("ann");
  }
  void Stop() {
    bundles_->Stop();
    experiments_->Stop();
    server_->Shutdown(std::chrono::seconds(5));
    server_.reset();
    bundles_.reset();
    experiments_.reset();
    shelf_.reset();
    store_.reset();
  }
  void Become(const char* name) {
    const auto channel =
        rpc::MakeChannel({.address = server_->address(), .token_file = Path(name)}).value();
    stub_ = v1::BundleService::NewStub(channel);
    experiment_stub_ = v1::ExperimentService::NewStub(channel);
  }

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    Response response;
    grpc::Status status;
    if constexpr (std::is_same_v<Stub, v1::BundleService::Stub>) {
      status = (stub_.get()->*method)(&context, request, &response);
    } else {
      status = (experiment_stub_.get()->*method)(&context, request, &response);
    }
    if (!status.ok()) return rpc::FromGrpc(status);
    return response;
  }
  absl::StatusOr<v1::PushBundleResponse> Begin(const BundleManifest& manifest) {
    v1::PushBundleRequest request;
    request.set_name(BundleResource(manifest.digest));
    FilesToProto(manifest, request.mutable_files());
    return Call(&Bundles::PushBundle, request);
  }
  absl::StatusOr<v1::PushBundleResponse> Send(const std::string& digest, uint64_t offset,
                                              const std::string& data) {
    v1::PushBundleRequest request;
    request.set_name(BundleResource(digest));
    request.set_offset(offset);
    request.set_data(data);
    return Call(&Bundles::PushBundle, request);
  }
  BundleManifest Push(const fs::path& folder) {
    const BundleManifest manifest = ReadBundle(folder).value();
    const BundleSource source = FolderSource(folder, manifest);
    auto standing = Begin(manifest);
    while (standing.ok() && !standing->complete()) {
      standing =
          Send(manifest.digest, standing->next_offset(), source(standing->next_offset()).value());
    }
    INFO(standing.status().ToString());
    REQUIRE(standing.ok());
    return manifest;
  }
  absl::Status Delete(const std::string& digest, bool allow_missing = false) {
    v1::DeleteBundleRequest request;
    request.set_name(BundleResource(digest));
    request.set_allow_missing(allow_missing);
    return Call(&Bundles::DeleteBundle, request).status();
  }
  static v1::CreateExperimentRequest CreateRequest(const std::string& id,
                                                   const std::string& digest) {
    v1::CreateExperimentRequest request;
    request.set_experiment_id(id);
    *request.mutable_experiment()->mutable_spec() =
        LoadSpec(
            "benchmark { name: 'single' environment: 'mjcf' option { name: 'bundle' value: "
            "'sha256:" +
            digest + "' } }")
            .value();
    return request;
  }
  absl::StatusOr<v1::Experiment> Create(const std::string& id, const std::string& digest,
                                        bool validate_only = false) {
    v1::CreateExperimentRequest request = CreateRequest(id, digest);
    request.set_validate_only(validate_only);
    return Call(&v1::ExperimentService::Stub::CreateExperiment, request);
  }
  absl::StatusOr<v1::Experiment> CreateWithoutBundle(const std::string& id) {
    v1::CreateExperimentRequest request;
    request.set_experiment_id(id);
    *request.mutable_experiment()->mutable_spec() =
        LoadSpec("benchmark { name: 'point_reach' }").value();
    return Call(&v1::ExperimentService::Stub::CreateExperiment, request);
  }
  std::string address() const { return server_->address(); }
  fs::path Path(const std::string& name) const { return folder_.path() / name; }

  using Bundles = v1::BundleService::Stub;
  absl::Status room;
  std::function<void()> compile;  // Checks a spec that names a bundle.
  Store* store() { return store_.get(); }

 private:
  void Check(const v1::ExperimentSpec& spec, Violations* violations) override {
    if (compile && !BundlesOf(spec).empty()) compile();
    if (const absl::Status status = PausePoint(); !status.ok())
      violations->Add("benchmark", status.ToString());
  }
  absl::Status CheckRoom() override { return room; }

  const TempFolder folder_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<BundleShelf> shelf_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<ExperimentService> experiments_;
  std::unique_ptr<BundleService> bundles_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::BundleService::Stub> stub_;
  std::unique_ptr<v1::ExperimentService::Stub> experiment_stub_;
};

fs::path MakeOrigin(const fs::path& folder, size_t bytes, char fill = 'x') {
  fs::create_directories(folder / "meshes");
  std::ofstream(folder / "robot.xml") << "<mujoco/>";
  std::ofstream(folder / "meshes/arm.stl", std::ios::binary) << std::string(bytes, fill);
  return folder;
}

TEST_CASE("bundle service: pushed in pieces over a restart and fetched again", "[loopback]") {
  Fixture fixture;
  const auto origin = MakeOrigin(fixture.Path("origin"), 2'500'000);
  const BundleManifest manifest = ReadBundle(origin).value();
  const BundleSource source = FolderSource(origin, manifest);
  CHECK(fixture.Begin(manifest)->size_bytes() == manifest.bytes());
  CHECK(fixture.Send(manifest.digest, 0, source(0).value())->next_offset() == 1 << 20);
  fixture.Stop();
  fixture.Start();
  CHECK(fixture.Begin(manifest)->next_offset() == 1 << 20);
  CHECK(fixture.Push(origin) == manifest);
  fixture.Become("vic");
  v1::GetBundleRequest get;
  get.set_name(BundleResource(manifest.digest));
  const auto bundle = fixture.Call(&Fixture::Bundles::GetBundle, get);
  REQUIRE(bundle.ok());
  CHECK(bundle->owner() == "ann");
  CHECK(ManifestFromProto(manifest.digest, bundle->files()) == manifest);
  const auto copy = fixture.Path("copy");
  REQUIRE(WriteBundle(
              manifest,
              [&](uint64_t offset) -> absl::StatusOr<std::string> {
                v1::FetchBundleRequest fetch;
                fetch.set_name(bundle->name());
                fetch.set_offset(offset);
                const auto piece = fixture.Call(&Fixture::Bundles::FetchBundle, fetch);
                if (!piece.ok()) return piece.status();
                return piece->data();
              },
              copy)
              .ok());
  CHECK(VerifyBundle(copy, manifest.digest).ok());
  const auto list = fixture.Call(&Fixture::Bundles::ListBundles, v1::ListBundlesRequest());
  REQUIRE(list.ok());
  CHECK(list->total_size() == 1);
  CHECK(list->bundles(0).file_count() == 2);
  CHECK(list->bundles(0).files_size() == 0);
}

TEST_CASE("bundle service: a push is its owner's, whoever else knows the digest (B5)",
          "[loopback]") {
  Fixture fixture;
  const auto origin = MakeOrigin(fixture.Path("origin"), 1000);
  const BundleManifest manifest = ReadBundle(origin).value();
  const std::string bytes = FolderSource(origin, manifest)(0).value();
  REQUIRE(fixture.Begin(manifest).ok());
  REQUIRE(fixture.Send(manifest.digest, 0, bytes.substr(0, 500)).ok());
  fixture.Become("bob");
  CHECK(
      absl::IsFailedPrecondition(fixture.Send(manifest.digest, 0, std::string(500, 'y')).status()));
  CHECK(fixture.Begin(manifest)->next_offset() == 0);
  CHECK(fixture.Send(manifest.digest, 0, std::string(500, 'y'))->next_offset() == 500);
  fixture.Become("ann");
  CHECK(fixture.Begin(manifest)->next_offset() == 500);
  // Each user ends his or her own pushes, and an admin ends all.
  CHECK(fixture.Delete(manifest.digest).ok());
  CHECK(ReasonOf(fixture.Delete(manifest.digest)) == "NOT_OWNER");
  REQUIRE(fixture.Begin(manifest).ok());
  REQUIRE(fixture.Send(manifest.digest, 0, bytes.substr(0, 500)).ok());
  CHECK(fixture.Send(manifest.digest, 500, bytes.substr(500))->complete());
  fixture.Become("bob");
  // It is whole with the other's bytes.
  CHECK(fixture.Send(manifest.digest, 500, std::string(500, 'y'))->complete());
  CHECK(ReasonOf(fixture.Delete(manifest.digest)) == "NOT_OWNER");
  fixture.Become("root");
  CHECK(fixture.Delete(manifest.digest).ok());
}

TEST_CASE("bundle service: what is fetched is verified once, not for each piece (C1)",
          "[loopback]") {
  Fixture fixture;
  const auto origin = MakeOrigin(fixture.Path("origin"), 2'500'000);
  const BundleManifest manifest = fixture.Push(origin);
  const BundleSource source = FolderSource(origin, manifest);
  v1::FetchBundleRequest fetch;
  fetch.set_name(BundleResource(manifest.digest));
  REQUIRE(fixture.Call(&Fixture::Bundles::FetchBundle, fetch).ok());
  // Hashing the bundle again finds this, and so does fetching the last piece.
  std::ofstream(fixture.Path("state") / "bundles" / manifest.digest / "robot.xml") << "<mujoc0/>";
  fetch.set_offset(1 << 20);
  const auto piece = fixture.Call(&Fixture::Bundles::FetchBundle, fetch);
  REQUIRE(piece.ok());
  CHECK(piece->data() == source(1 << 20).value());
  // A deleted bundle is gone, and a new push makes it whole.
  fetch.set_offset(2 << 20);
  CHECK(fixture.Push(origin) == manifest);
  CHECK(fixture.Call(&Fixture::Bundles::FetchBundle, fetch)->data() == source(2 << 20).value());
  REQUIRE(fixture.Delete(manifest.digest).ok());
  CHECK(absl::IsNotFound(fixture.Call(&Fixture::Bundles::FetchBundle, fetch).status()));
}

TEST_CASE("bundle service: bad pushes are refused in words", "[loopback]") {
  Fixture fixture;
  const auto origin = MakeOrigin(fixture.Path("origin"), 1000);
  const BundleManifest manifest = ReadBundle(origin).value();
  const std::string bytes = FolderSource(origin, manifest)(0).value();
  const auto code = [](const auto& answer) { return answer.status().code(); };
  using Code = absl::StatusCode;
  CHECK(code(fixture.Send(manifest.digest, 0, bytes)) == Code::kFailedPrecondition);
  CHECK(code(fixture.Send("..", 0, bytes)) == Code::kInvalidArgument);
  BundleManifest wrong = manifest;
  wrong.digest = Sha256Hex("other");
  CHECK(code(fixture.Begin(wrong)) == Code::kInvalidArgument);
  wrong = manifest;
  wrong.files[0].path = "../../arm.stl";
  wrong.digest = BundleDigest(wrong.files);
  CHECK(code(fixture.Begin(wrong)) == Code::kInvalidArgument);
  BundleManifest many;
  for (int i = 0; i <= 2000; ++i)
    many.files.push_back({.path = std::to_string(10'000 + i), .bytes = 0, .sha256 = Sha256Hex("")});
  many.digest = BundleDigest(many.files);
  const auto refused = fixture.Begin(many);
  CHECK(code(refused) == Code::kInvalidArgument);
  CHECK(Contains(refused.status(), "more than 2000 files"));
  REQUIRE(fixture.Begin(manifest).ok());
  CHECK(code(fixture.Send(manifest.digest, 1, bytes.substr(1))) == Code::kOutOfRange);
  CHECK(code(fixture.Send(manifest.digest, 0, bytes + "x")) == Code::kInvalidArgument);
  CHECK(code(fixture.Send(manifest.digest, 0, "")) == Code::kInvalidArgument);
  CHECK(code(fixture.Send(manifest.digest, 0, std::string((1 << 20) + 1, 'x'))) ==
        Code::kInvalidArgument);
  v1::PushBundleRequest torn;
  torn.set_name(BundleResource(manifest.digest));
  torn.set_data(bytes);
  torn.set_crc32c(Crc32c(bytes) + 1);
  CHECK(code(fixture.Call(&Fixture::Bundles::PushBundle, torn)) == Code::kInvalidArgument);
  CHECK(code(fixture.Send(manifest.digest, 0, std::string(bytes.size(), 'y'))) == Code::kDataLoss);
  CHECK(fixture.Begin(manifest)->next_offset() == 0);
  // Room and quota.
  fixture.room = MakeError(Reason::kDiskFull, "the disk is full");
  CHECK(ReasonOf(fixture.Send(manifest.digest, 0, bytes).status()) == "DISK_FULL");
  fixture.room = absl::OkStatus();
  CHECK(fixture.Send(manifest.digest, 0, bytes)->complete());
  const auto large = MakeOrigin(fixture.Path("large"), 10'000'000);
  const auto over = fixture.Begin(ReadBundle(large).value());
  CHECK(ReasonOf(over.status()) == "QUOTA_EXCEEDED");
  fixture.Become("vic");
  CHECK(code(fixture.Begin(manifest)) == Code::kPermissionDenied);
}

TEST_CASE("bundle service: what an experiment names is there and stays", "[loopback]") {
  Fixture fixture;
  const auto origin = MakeOrigin(fixture.Path("origin"), 10);
  const std::string digest = ReadBundle(origin).value().digest;
  for (const bool validate_only : {true, false}) {
    const auto missing = fixture.Create("a", digest, validate_only);
    CHECK(absl::IsFailedPrecondition(missing.status()));
    CHECK(ReasonOf(missing.status()) == "BUNDLE_MISSING");
    CHECK(Contains(missing.status(), "mentorctl bundles push"));
  }
  fixture.Push(origin);
  REQUIRE(fixture.Create("a", digest).ok());
  const absl::Status named = fixture.Delete(digest);
  CHECK(absl::IsFailedPrecondition(named));
  CHECK(ReasonOf(named) == "BUNDLE_IN_USE");
  CHECK(Contains(
      named, "robot.xml (sha256:" + digest.substr(0, 12) + ") is named by experiments/a; delete"));
  // Only an admin may touch another owner's bundle.
  using S = v1::Experiment;
  REQUIRE(fixture.store()
              ->records.Transition("experiments/a", {S::STATE_QUEUED}, S::STATE_CANCELLED)
              .ok());
  REQUIRE(fixture.store()->records.Delete("experiments/a", "").ok());
  fixture.Become("bob");
  const absl::Status others = fixture.Delete(digest);
  CHECK(absl::IsPermissionDenied(others));
  CHECK(ReasonOf(others) == "NOT_OWNER");
  fixture.Become("root");
  CHECK(fixture.Delete(digest).ok());
  CHECK(absl::IsNotFound(fixture.Delete(digest)));
  CHECK(fixture.Delete(digest, /*allow_missing=*/true).ok());
  fixture.Become("ann");
  CHECK(ReasonOf(fixture.Create("a", digest).status()) == "BUNDLE_MISSING");
}

TEST_CASE("bundle service: models that take long hold up nobody's other specs", "[loopback]") {
  Fixture fixture;
  const std::string digest = fixture.Push(MakeOrigin(fixture.Path("origin"), 10)).digest;
  std::counting_semaphore<> compiling(0), done(0);
  fixture.compile = [&] {
    compiling.release();
    // Others wait less than this for their answer.
    if (done.try_acquire_for(std::chrono::seconds(60))) done.release();
  };
  std::vector<std::future<absl::Status>> creates;
  for (const char* id : {"a", "b", "c"}) {
    creates.push_back(
        std::async(std::launch::async, [&, id] { return fixture.Create(id, digest).status(); }));
  }
  for (int i = 0; i < 2; ++i) REQUIRE(compiling.try_acquire_for(std::chrono::seconds(10)));
  CHECK(fixture.CreateWithoutBundle("plain").ok());
  done.release();
  for (auto& create : creates) CHECK(create.get().ok());
}

TEST_CASE("bundle service: tasks that are drawn without end hold up neither others nor the end",
          "[loopback]") {
  Fixture fixture;
  const std::string digest = fixture.Push(MakeOrigin(fixture.Path("origin"), 10)).digest;
  std::counting_semaphore<> drawing(0), ended(0);
  std::atomic<bool> endless = true;
  fixture.compile = [&] {
    if (!endless) return;
    drawing.release();
    while (PausePoint().ok()) {
    }
    ended.release();
  };
  const auto channel =
      rpc::MakeChannel({.address = fixture.address(), .token_file = fixture.Path("ann")}).value();
  const auto ann = v1::ExperimentService::NewStub(channel);
  const auto create = [&](const char* id, std::chrono::seconds patience) {
    return std::async(std::launch::async, [&ann, &digest, id, patience] {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + patience);
      v1::Experiment made;
      return ann->CreateExperiment(&context, Fixture::CreateRequest(id, digest), &made);
    });
  };
  // No caller waits for it any more.
  auto hasty = create("a", std::chrono::seconds(2));
  REQUIRE(drawing.try_acquire_for(std::chrono::seconds(20)));
  CHECK(hasty.get().error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK(ended.try_acquire_for(std::chrono::seconds(20)));
  // Another owner's spec, with a bundle too, has its turn beside those whose tasks are being drawn.
  auto first = create("b", std::chrono::seconds(60)),
       second = create("c", std::chrono::seconds(60));
  for (int i = 0; i < 2; ++i) REQUIRE(drawing.try_acquire_for(std::chrono::seconds(20)));
  endless = false;
  fixture.Become("bob");
  CHECK(fixture.Create("d", digest).ok());
  // The process stops: the specs are not to blame.
  fixture.Stop();
  for (auto* left : {&first, &second})
    CHECK(left->get().error_code() == grpc::StatusCode::UNAVAILABLE);
  for (int i = 0; i < 2; ++i) CHECK(ended.try_acquire_for(std::chrono::seconds(20)));
  fixture.Start();
}

}  // namespace mentor::TEST_FILE
