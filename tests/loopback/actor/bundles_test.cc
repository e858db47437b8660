// Bundles from a learner's server to an actor's cache, and peers that break the rules.
#include <atomic>
#include <fstream>
#include <future>
#include <latch>
#include <map>
#include <thread>
#include <vector>

#include "common/failpoint.h"
#include "common/hash.h"
#include "common/metrics.h"
#include "common/rpc/bundle_transfer.h"
#include "common/rpc/server.h"
#include "common/status.h"
#include "learner/rollout/rollout_server.h"
#include "mentor/v1/rollout_service.grpc.pb.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::TempFolder;
namespace fs = std::filesystem;

// Three pieces, and a file that ends in the middle of a piece.
BundleManifest MakeOrigin(const fs::path& folder, const std::string& model = "<mujoco/>") {
  fs::create_directories(folder / "meshes");
  std::ofstream(folder / "robot.xml") << model;
  std::string mesh(2'500'000, '\0');
  for (size_t i = 0; i < mesh.size(); ++i) mesh[i] = static_cast<char>(i * 31 >> 7);
  std::ofstream(folder / "meshes/arm.stl", std::ios::binary) << mesh;
  return ReadBundle(folder).value();
}

constexpr rpc::BundleFetcher::Patience kQuick = {
    .call = std::chrono::milliseconds(10'000),
    .total = std::chrono::milliseconds(5'000),
    .backoff = {.first = std::chrono::milliseconds(1), .longest = std::chrono::milliseconds(10)}};

// Makes FindBundle find these bundles, for one test.
struct Offered {
  explicit Offered(const fs::path& folder) { REQUIRE(OfferFolder(folder).ok()); }
  ~Offered() { SetBundleFinder(nullptr); }
};

// A learner that answers as the test wants.
class OddLearner : public v1::RolloutService::Service {
 public:
  using Answer =
      std::function<grpc::Status(const v1::FetchBundleRequest&, v1::FetchBundleResponse*)>;
  explicit OddLearner(Answer answer) : answer_(std::move(answer)) {
    server_ = rpc::Server::Start({.address = ""}, {this}).value();
  }
  grpc::Status FetchBundle(grpc::ServerContext*, const v1::FetchBundleRequest* request,
                           v1::FetchBundleResponse* response) override {
    ++calls;
    return answer_(*request, response);
  }
  rpc::BundleFetcher::Call call() {
    return rpc::FetchFrom<v1::RolloutService>([this] { return server_->InProcessChannel(); });
  }
  std::atomic<int> calls = 0;

 private:
  const Answer answer_;
  std::unique_ptr<rpc::Server> server_;
};

TEST_CASE("bundles: an actor's cache fetches from the learner what it lacks", "[loopback]") {
  const TempFolder folder;
  const BundleManifest manifest = MakeOrigin(folder.path() / "origin");
  const Offered offered(folder.path() / "origin");
  const auto metrics = Metrics::Create({});
  learner::RolloutServer rollout({}, metrics.get());
  const auto server = rpc::Server::Start({.address = ""}, {rollout.service()}).value();
  rpc::BundleFetcher fetcher(
      rpc::FetchFrom<v1::RolloutService>([&] { return server->InProcessChannel(); }), kQuick);
  const auto cache = BundleCache::Open({.folder = folder.path() / "cache"}).value();
  const auto fetch = [&](const std::string& digest) { return fetcher.Fetch(digest); };
  {
    const auto found = cache->FindOrFetch(manifest.digest, fetch);
    INFO(found.status().ToString());
    REQUIRE(found.ok());
    CHECK((*found)->manifest() == manifest);
  }
  // The cache is emptied on the way, and the learner is away for some calls.
  fs::remove_all(folder.path() / "cache" / manifest.digest);
  REQUIRE(failpoint::Arm("bundle.fetch.answer=2:error(away)").ok());
  CHECK(cache->FindOrFetch(manifest.digest, fetch).ok());
  CHECK(failpoint::Hits()["bundle.fetch.answer"] >= 2);
  REQUIRE(failpoint::Arm("").ok());
  // If the learner lacks the bundle, the actor does not wait.
  const auto missing = cache->FindOrFetch(Sha256Hex("other"), fetch);
  CHECK(missing.status().code() == absl::StatusCode::kNotFound);
  rollout.Stop();
  server->Shutdown(std::chrono::milliseconds(1000));
}

TEST_CASE("bundles: of too many that are held the fastest to verify goes", "[loopback]") {
  const TempFolder folder;
  std::map<std::string, std::pair<fs::path, BundleManifest>> origins;
  std::vector<std::string> digests;
  for (const char* model : {"1", "2", "3"}) {
    const fs::path origin = folder.path() / model;
    const BundleManifest manifest = MakeOrigin(origin, std::string(*model - '0', 'x'));
    digests.push_back(manifest.digest);
    origins[manifest.digest] = {origin, manifest};
  }
  std::map<std::string, int> found;
  rpc::BundlePieces pieces(
      [&](const std::string& digest) -> absl::StatusOr<std::shared_ptr<const HeldBundle>> {
        ++found[digest];
        const auto& [origin, manifest] = origins.at(digest);
        return std::make_shared<const HeldBundle>(origin, manifest);
      },
      /*held_max=*/2);
  for (const uint64_t offset : {0, 1 << 20, 2 << 20}) {
    for (const std::string& digest : digests) CHECK(pieces.Read(digest, offset).ok());
  }
  CHECK(found[digests[0]] == 3);
  CHECK(found[digests[1]] == 1);
  CHECK(found[digests[2]] == 1);
  // A missing bundle is looked for once more.
  fs::remove_all(origins[digests[2]].first);
  CHECK(absl::IsNotFound(pieces.Read(digests[2], 0).status()));
  CHECK(found[digests[2]] == 2);
}

TEST_CASE("bundles: a server whose cache is full of what it served makes room", "[loopback]") {
  const TempFolder folder;
  const std::vector<BundleManifest> origins = {
      MakeOrigin(folder.path() / "a"), MakeOrigin(folder.path() / "b", "<mujoco></mujoco>")};
  const auto above =
      BundleCache::Open({.folder = folder.path() / "learner", .bytes_max = 3'000'000});
  REQUIRE(above.ok());
  SetBundleFinder([&](const std::string& digest) {
    return (*above)->FindOrFetch(digest, [&](const std::string& name) {
      const bool first = name == origins[0].digest;
      return absl::StatusOr<BundleCache::Fetched>(
          {.manifest = origins[first ? 0 : 1],
           .source = FolderSource(folder.path() / (first ? "a" : "b"), origins[first ? 0 : 1])});
    });
  });
  const auto metrics = Metrics::Create({});
  learner::RolloutServer rollout({}, metrics.get());
  const auto server = rpc::Server::Start({.address = ""}, {rollout.service()}).value();
  rpc::BundleFetcher fetcher(
      rpc::FetchFrom<v1::RolloutService>([&] { return server->InProcessChannel(); }));
  const auto cache = BundleCache::Open({.folder = folder.path() / "actor"}).value();
  for (const BundleManifest& origin : origins) {
    const auto found = cache->FindOrFetch(
        origin.digest, [&](const std::string& digest) { return fetcher.Fetch(digest); });
    INFO(found.status().ToString());
    CHECK(found.ok());
  }
  SetBundleFinder(nullptr);
  rollout.Stop();
  server->Shutdown(std::chrono::milliseconds(1000));
}

TEST_CASE("bundles: those who wait for one hold up no other", "[loopback]") {
  const TempFolder folder;
  const BundleManifest slow = MakeOrigin(folder.path() / "slow"),
                       there = MakeOrigin(folder.path() / "there", "<mujoco></mujoco>");
  std::latch asked{1}, go_on{1};
  std::atomic<int> finds = 0;
  SetBundleFinder([&](const std::string& digest) {
    const bool is_slow = digest == slow.digest;
    if (is_slow) {
      if (finds++ == 0) asked.count_down();
      go_on.wait();
    }
    return absl::StatusOr<std::shared_ptr<const HeldBundle>>(std::make_shared<const HeldBundle>(
        folder.path() / (is_slow ? "slow" : "there"), is_slow ? slow : there));
  });
  const auto metrics = Metrics::Create({});
  learner::RolloutServer rollout({}, metrics.get());
  const auto server = rpc::Server::Start({.address = ""}, {rollout.service()}).value();
  rpc::BundleFetcher fetcher(
      rpc::FetchFrom<v1::RolloutService>([&] { return server->InProcessChannel(); }));
  std::vector<std::future<absl::Status>> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.push_back(
        std::async(std::launch::async, [&] { return fetcher.Fetch(slow.digest).status(); }));
  }
  asked.wait();
  auto other = std::async(std::launch::async, [&] { return fetcher.Fetch(there.digest).status(); });
  CHECK(other.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  go_on.count_down();
  CHECK(other.get().ok());
  for (auto& one : waiting) CHECK(one.get().ok());
  CHECK(finds == 1);  // For all of them.
  SetBundleFinder(nullptr);
  rollout.Stop();
  server->Shutdown(std::chrono::milliseconds(1000));
}

TEST_CASE("bundles: a peer that sends something else is refused and leaves nothing", "[loopback]") {
  const TempFolder folder;
  const BundleManifest manifest = MakeOrigin(folder.path() / "origin");
  const HeldBundle honest(folder.path() / "origin", manifest);
  std::string odd;
  OddLearner learner([&](const v1::FetchBundleRequest& request, v1::FetchBundleResponse* response) {
    auto piece = rpc::ReadBundlePiece(honest, request.offset());
    if (!piece.ok()) return grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "beyond the end");
    *response = *std::move(piece);
    if (odd == "wrong offset") response->set_offset(request.offset() + 1);
    if (odd == "torn") response->mutable_data()->at(3) ^= 1;
    if (odd == "changed") {
      response->mutable_data()->at(3) ^= 1;
      response->set_crc32c(Crc32c(response->data()));
    }
    if (odd == "more bytes" && response->data().size() + 1000 <= rpc::kBundlePieceBytes) {
      response->mutable_data()->append(1000, 'x');
      response->set_crc32c(Crc32c(response->data()));
    }
    if (odd == "too long a piece") {
      response->mutable_data()->resize(rpc::kBundlePieceBytes + 1);
      response->set_crc32c(Crc32c(response->data()));
    }
    if (odd == "other files") response->mutable_files(0)->set_path("meshes/leg.stl");
    if (odd == "a path that leads out") response->mutable_files(0)->set_path("../leg.stl");
    if (odd == "2001 files") {
      response->clear_files();
      for (int i = 0; i <= 2000; ++i) {
        v1::BundleFile& file = *response->add_files();
        file.set_path(std::to_string(10'000 + i));
        file.set_sha256(Sha256Hex(""));
      }
    }
    if (odd == "ends early" && request.offset() > 0) response->clear_data();
    if (odd == "ends early") response->set_crc32c(Crc32c(response->data()));
    return grpc::Status::OK;
  });
  rpc::BundleFetcher::Patience patience = kQuick;
  patience.total = std::chrono::milliseconds(50);
  rpc::BundleFetcher fetcher(learner.call(), patience);
  const auto cache = BundleCache::Open({.folder = folder.path() / "cache"}).value();
  const auto fetch = [&](const std::string& digest) { return fetcher.Fetch(digest); };
  const std::vector<std::pair<const char*, absl::StatusCode>> cases = {
      {"wrong offset", absl::StatusCode::kUnavailable},
      {"torn", absl::StatusCode::kUnavailable},
      {"too long a piece", absl::StatusCode::kUnavailable},
      {"changed", absl::StatusCode::kDataLoss},
      {"more bytes", absl::StatusCode::kDataLoss},
      {"other files", absl::StatusCode::kDataLoss},
      {"a path that leads out", absl::StatusCode::kDataLoss},
      {"2001 files", absl::StatusCode::kDataLoss},
      {"ends early", absl::StatusCode::kDataLoss},
  };
  for (const auto& [name, code] : cases) {
    odd = name;
    INFO(odd);
    const auto found = cache->FindOrFetch(manifest.digest, fetch);
    CAPTURE(found.status().ToString());
    CHECK(found.status().code() == code);
    CHECK(fs::is_empty(folder.path() / "cache"));
    CHECK_FALSE(fs::exists(folder.path() / "leg.stl"));
  }
  odd.clear();
  CHECK(cache->FindOrFetch(manifest.digest, fetch).ok());
}

TEST_CASE("bundles: whoever waits for one ends when the process does", "[loopback]") {
  std::atomic<bool> asked = false;
  OddLearner learner([&](const v1::FetchBundleRequest&, v1::FetchBundleResponse*) {
    asked = true;
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "not yet");
  });
  rpc::BundleFetcher fetcher(learner.call());
  absl::Status ended;
  std::thread waits([&] { ended = fetcher.Fetch(Sha256Hex("x")).status(); });
  while (!asked) std::this_thread::yield();
  fetcher.Stop();
  waits.join();
  CHECK(ended.code() == absl::StatusCode::kCancelled);
  CHECK(fetcher.Fetch(Sha256Hex("x")).status().code() == absl::StatusCode::kCancelled);
}

TEST_CASE("bundles: a server that stops says so", "[loopback]") {
  const auto metrics = Metrics::Create({});
  learner::RolloutServer rollout({}, metrics.get());
  const auto server = rpc::Server::Start({.address = ""}, {rollout.service()}).value();
  const auto stub = v1::RolloutService::NewStub(server->InProcessChannel());
  const auto call = [&](const std::string& name) {
    grpc::ClientContext context;
    v1::FetchBundleRequest request;
    request.set_name(name);
    v1::FetchBundleResponse response;
    return stub->FetchBundle(&context, request, &response).error_code();
  };
  const std::string name = "bundles/" + Sha256Hex("x");
  SetBundleFinder(nullptr);
  CHECK(call(name) == grpc::StatusCode::FAILED_PRECONDITION);
  for (const char* bad : {"", "bundles/", "bundles/..", "sha256:1", "experiments/a"}) {
    INFO(bad);
    CHECK(call(bad) == grpc::StatusCode::INVALID_ARGUMENT);
  }
  rollout.Stop();
  CHECK(call(name) == grpc::StatusCode::UNAVAILABLE);
  server->Shutdown(std::chrono::milliseconds(1000));
}

}  // namespace mentor::TEST_FILE
