// The border between learners and the meta-learner over the in-process transport: which learners
// are admitted, and what ends a stream.
#include "meta_learner/fleet/shard_service.h"

#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/metrics.h"
#include "common/mutex.h"
#include "common/protocol.h"
#include "common/rpc/server.h"
#include "common/rpc/stream.h"
#include "common/status.h"
#include "mentor/v1/shard_service.grpc.pb.h"
#include "tests/metric_value.h"
#include "tests/small_shards.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

// A learner's end of the stream that sends whatever the test wants.
class RawLearner {
 public:
  explicit RawLearner(rpc::Server* server)
      : stub_(v1::ShardService::NewStub(server->InProcessChannel())),
        stream_(rpc::ClientStream<v1::RunRequest, v1::RunResponse>::Make({})) {
    stream_->Start({.on_message =
                        [this](v1::RunResponse message) {
                          const MutexLock lock(mutex_);
                          messages_.push_back(std::move(message));
                          changed_.NotifyAll();
                        },
                    .on_closed =
                        [this](const absl::Status& status) {
                          const MutexLock lock(mutex_);
                          end_ = status;
                          changed_.NotifyAll();
                        }},
                   [&](auto* context, auto* reactor) { stub_->async()->Run(context, reactor); });
  }
  ~RawLearner() {
    stream_->Close(absl::CancelledError("test over"));
    WaitForEnd().IgnoreError();
  }

  static v1::Hello GoodHello() {
    v1::Hello hello = NewHello();
    hello.set_threads(1);
    hello.set_device("cpu");
    hello.set_numeric_fingerprint("bits");
    hello.set_shard_slots(1);
    return hello;
  }
  void Say(v1::RunRequest message) { stream_->Send(std::move(message)); }
  void SayHello(const v1::Hello& hello) {
    v1::RunRequest message;
    *message.mutable_hello() = hello;
    Say(std::move(message));
  }
  absl::Status WaitForEnd() {
    MutexLock lock(mutex_);
    const bool ended =
        changed_.WaitFor(lock, std::chrono::seconds(30),
                         [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return end_.has_value(); });
    return ended ? *end_ : absl::DeadlineExceededError("the stream did not end");
  }
  v1::RunResponse WaitFor(v1::RunResponse::MessageCase kind) {
    MutexLock lock(mutex_);
    v1::RunResponse found;
    const bool came = changed_.WaitFor(lock, std::chrono::seconds(30),
                                       [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                                         for (const auto& message : messages_) {
                                           if (message.message_case() == kind) {
                                             found = message;
                                             return true;
                                           }
                                         }
                                         return end_.has_value();
                                       });
    REQUIRE(came);
    REQUIRE(found.message_case() == kind);
    return found;
  }

 private:
  const std::unique_ptr<v1::ShardService::Stub> stub_;
  const std::shared_ptr<rpc::ClientStream<v1::RunRequest, v1::RunResponse>> stream_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<v1::RunResponse> messages_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
};

struct Fixture {
  std::unique_ptr<Metrics> metrics = Metrics::Create();
  ShardBoard board{{}};
  ShardService service;
  std::unique_ptr<rpc::Server> server;

  explicit Fixture(int ingest_threads = 2)
      : service({.catalogue_hash = "catalogue",
                 .actor_fingerprint = "actor bits",
                 .learner_fingerprint = "bits",
                 .ingest_threads = ingest_threads},
                &board, metrics.get()) {
    auto started = rpc::Server::Start({.address = ""}, {service.service()});
    REQUIRE(started.ok());
    server = *std::move(started);
  }
  ~Fixture() {
    service.Stop();
    server->Shutdown(std::chrono::seconds(5));
  }
};

TEST_CASE("shard service: a learner is welcomed and told what its actors must have", "[loopback]") {
  Fixture fixture;
  RawLearner learner(fixture.server.get());
  learner.SayHello(RawLearner::GoodHello());
  const v1::Welcome welcome = learner.WaitFor(v1::RunResponse::kWelcome).welcome();
  CHECK(welcome.catalogue_hash() == "catalogue");
  CHECK(welcome.numeric_fingerprint() == "actor bits");
}

TEST_CASE("shard service: peers show what a learner computes with and its memory", "[loopback]") {
  Fixture fixture;
  RawLearner learner(fixture.server.get());
  v1::Hello hello = RawLearner::GoodHello();
  hello.set_device("a GPU");
  hello.set_numeric_fingerprint("GPU bits");
  hello.set_cpu_fingerprint("bits");
  hello.set_memory_bytes(uint64_t{3} << 30);
  hello.set_device_memory_bytes(uint64_t{1} << 30);
  learner.SayHello(hello);
  static_cast<void>(learner.WaitFor(v1::RunResponse::kWelcome));
  std::vector<v1::Peer> peers;
  while (peers.empty()) peers = fixture.service.Peers();  // Just after the welcome.
  CHECK(peers[0].arithmetic() == "a GPU GPU bits");
  CHECK(peers[0].memory_bytes() == uint64_t{3} << 30);
  CHECK(peers[0].memory_needed_bytes() == shards::kLearnerProcessBytes);
  CHECK(peers[0].device_memory_bytes() == uint64_t{1} << 30);
  CHECK(fixture.board.ShortageOf({.bytes = uint64_t{2} << 30}).needed == 0);
  const MemoryShortage process = fixture.board.ShortageOf({.bytes = uint64_t{3} << 30});
  CHECK_FALSE(process.of_device);
  CHECK(process.needed == shards::kLearnerProcessBytes + (uint64_t{3} << 30));
  CHECK(process.most == uint64_t{3} << 30);
  const MemoryShortage device = fixture.board.ShortageOf({.device_bytes = uint64_t{2} << 30});
  CHECK(device.of_device);
  CHECK(device.needed == uint64_t{2} << 30);
  CHECK(device.most == uint64_t{1} << 30);
}

TEST_CASE("shard service: a learner says that it leaves, and gets no more", "[loopback]") {
  Fixture fixture;
  RawLearner learner(fixture.server.get());
  learner.SayHello(RawLearner::GoodHello());
  static_cast<void>(learner.WaitFor(v1::RunResponse::kWelcome));
  v1::RunRequest message;
  message.mutable_leaving();
  learner.Say(message);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const auto draining = [&] {
    const auto peers = fixture.service.Peers();
    return !peers.empty() && peers[0].draining();
  };
  while (!draining() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  CHECK(draining());
}

TEST_CASE("shard service: a learner says that its device has failed, and gets no more",
          "[loopback]") {
  Fixture fixture;
  RawLearner learner(fixture.server.get());
  learner.SayHello(RawLearner::GoodHello());
  static_cast<void>(learner.WaitFor(v1::RunResponse::kWelcome));
  v1::RunRequest message;
  message.mutable_device_lost()->set_reason("Xid 79");
  learner.Say(message);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const auto draining = [&] {
    const auto peers = fixture.service.Peers();
    return !peers.empty() && peers[0].draining();
  };
  while (!draining() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  CHECK(draining());
  CHECK(testing::MetricValue(*fixture.metrics,
                             "mentor_meta_device_lost_timestamp_seconds{of=\"learner\"}") > 1e9);
}

TEST_CASE("shard service: of two streams with one uid the newer one stays (D12)", "[loopback]") {
  Fixture fixture;
  const v1::Hello hello = RawLearner::GoodHello();
  RawLearner first(fixture.server.get());
  first.SayHello(hello);
  static_cast<void>(first.WaitFor(v1::RunResponse::kWelcome));
  RawLearner second(fixture.server.get());
  second.SayHello(hello);
  static_cast<void>(second.WaitFor(v1::RunResponse::kWelcome));
  CHECK(first.WaitForEnd().code() == absl::StatusCode::kAlreadyExists);
}

// Reports these actors, and waits until the service has `expected` peers.
std::vector<v1::Peer> Report(Fixture* fixture, RawLearner* learner,
                             const std::vector<v1::Peer>& actors, size_t expected) {
  v1::RunRequest message;
  message.mutable_fleet()->mutable_actors()->Add(actors.begin(), actors.end());
  learner->Say(std::move(message));
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  std::vector<v1::Peer> peers;
  while (peers.size() != expected && std::chrono::steady_clock::now() < end)
    peers = fixture->service.Peers();
  REQUIRE(peers.size() == expected);
  return peers;
}

v1::Peer ActorNamed(const std::string& name, const std::string& host = "h") {
  v1::Peer actor;
  actor.set_name(name);
  actor.set_host(host);
  return actor;
}

TEST_CASE("shard service: what each learner says is heard in its order", "[loopback]") {
  constexpr int kLearners = 4, kReports = 500;
  Fixture fixture(/*ingest_threads=*/4);
  std::vector<std::unique_ptr<RawLearner>> learners;
  for (int i = 0; i < kLearners; ++i) {
    learners.push_back(std::make_unique<RawLearner>(fixture.server.get()));
    learners.back()->SayHello(RawLearner::GoodHello());
    static_cast<void>(learners.back()->WaitFor(v1::RunResponse::kWelcome));
  }
  // More and more actors, named by their learner and the report.
  for (int report = 1; report <= kReports; ++report) {
    for (int i = 0; i < kLearners; ++i) {
      v1::RunRequest message;
      for (int actor = 0; actor < report; actor += 50)
        *message.mutable_fleet()->add_actors() =
            ActorNamed(absl::StrCat("actors/", i, "-", report, "-", actor));
      learners[static_cast<size_t>(i)]->Say(std::move(message));
    }
  }
  const std::set<std::string> last = [&] {
    std::set<std::string> names;
    for (int i = 0; i < kLearners; ++i) {
      for (int actor = 0; actor < kReports; actor += 50)
        names.insert(absl::StrCat("actors/", i, "-", kReports, "-", actor));
    }
    return names;
  }();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  std::set<std::string> actors;
  while (actors != last && std::chrono::steady_clock::now() < end) {
    actors.clear();
    for (const v1::Peer& peer : fixture.service.Peers()) {
      if (!peer.learner().empty()) actors.insert(peer.name());
    }
  }
  CHECK(actors == last);
}

TEST_CASE("shard service: of the actors that a learner reports, those within bounds are believed",
          "[loopback]") {
  Fixture fixture;
  RawLearner learner(fixture.server.get());
  learner.SayHello(RawLearner::GoodHello());
  static_cast<void>(learner.WaitFor(v1::RunResponse::kWelcome));
  std::vector<v1::Peer> actors;
  for (int i = 0; i < 10'001; ++i) actors.push_back(ActorNamed(absl::StrCat("actors/", i)));
  CHECK(Report(&fixture, &learner, actors, 10'001).size() == 10'001);  // The learner is one.

  v1::Peer odd = ActorNamed("actors/odd");
  odd.set_env_steps_per_second(std::numeric_limits<double>::quiet_NaN());
  odd.mutable_round_trip()->set_seconds(-5);
  odd.mutable_connect_time()->set_seconds(int64_t{1} << 60);
  odd.set_arithmetic("mine");
  odd.set_learner("learners/another");
  const auto peers = Report(
      &fixture, &learner,
      {odd, odd, ActorNamed("actors/long", std::string(257, 'h')), ActorNamed("actors/a\x1b[2J"),
       ActorNamed("learners/a"), ActorNamed("actors/"), ActorNamed("actors/a/b"), ActorNamed(""),
       ActorNamed("actors/good", std::string(256, 'h'))},
      3);
  CHECK(peers[1].name() == "actors/odd");
  CHECK(peers[2].name() == "actors/good");
  CHECK(peers[1].env_steps_per_second() == 0);
  CHECK_FALSE(peers[1].has_round_trip());
  CHECK(absl::FromUnixSeconds(peers[1].connect_time().seconds()) <= absl::Now());
  CHECK(peers[1].arithmetic().empty());
  CHECK(peers[1].learner() == peers[0].name());
}

TEST_CASE("shard service: a drain goes to who has the name, whatever another learner reports",
          "[loopback]") {
  Fixture fixture;
  RawLearner sick(fixture.server.get()), healthy(fixture.server.get());
  v1::Hello hello = RawLearner::GoodHello();
  sick.SayHello(hello);
  static_cast<void>(sick.WaitFor(v1::RunResponse::kWelcome));
  hello = RawLearner::GoodHello();
  healthy.SayHello(hello);
  static_cast<void>(healthy.WaitFor(v1::RunResponse::kWelcome));
  Report(&fixture, &healthy, {ActorNamed("actors/a")}, 3);
  Report(
      &fixture, &sick,
      {ActorNamed("learners/" + hello.peer_uid()), ActorNamed("actors/a"), ActorNamed("actors/b")},
      5);
  REQUIRE(fixture.service.Drain("actors/a").ok());
  CHECK(healthy.WaitFor(v1::RunResponse::kDrainActor).drain_actor().name() == "actors/a");
  CHECK(sick.WaitFor(v1::RunResponse::kDrainActor).drain_actor().name() == "actors/a");
  REQUIRE(fixture.service.Drain("learners/" + hello.peer_uid()).ok());
  static_cast<void>(healthy.WaitFor(v1::RunResponse::kDrain));
}

TEST_CASE("shard service: another version, other bits and a wrong beginning are refused",
          "[loopback]") {
  Fixture fixture;
  {
    RawLearner learner(fixture.server.get());
    v1::Hello hello = RawLearner::GoodHello();
    hello.set_protocol_version(99);
    hello.set_build("9.9.9");
    learner.SayHello(hello);
    const absl::Status end = learner.WaitForEnd();
    CHECK(end.code() == absl::StatusCode::kFailedPrecondition);
    CHECK(ReasonOf(end) == "PROTOCOL_VERSION");
    CHECK(end.message().find("9.9.9") != absl::string_view::npos);
  }
  {
    RawLearner learner(fixture.server.get());
    v1::Hello hello = RawLearner::GoodHello();
    hello.set_numeric_fingerprint("other bits");
    learner.SayHello(hello);
    CHECK(ReasonOf(learner.WaitForEnd()) == "NUMERIC_MISMATCH");
  }
  // Whatever the device is, its CPU makes part of the arithmetic (D7).
  for (const std::string& cpu : {std::string(), std::string("other bits")}) {
    RawLearner learner(fixture.server.get());
    v1::Hello hello = RawLearner::GoodHello();
    hello.set_device("a GPU");
    hello.set_numeric_fingerprint("bogus");
    hello.set_build("9.9.9");
    hello.set_cpu_fingerprint(cpu);
    learner.SayHello(hello);
    const absl::Status end = learner.WaitForEnd();
    CHECK(ReasonOf(end) == "NUMERIC_MISMATCH");
    CHECK(end.message().find("9.9.9") != absl::string_view::npos);
  }
  {
    RawLearner learner(fixture.server.get());
    v1::Hello hello = RawLearner::GoodHello();
    hello.clear_device();
    learner.SayHello(hello);
    CHECK(ReasonOf(learner.WaitForEnd()) == "PROTOCOL_VIOLATION");
  }
  for (const std::string& host : {std::string(7 << 20, 'h'), std::string("a\x1b[2J")}) {  // D12
    RawLearner learner(fixture.server.get());
    v1::Hello hello = RawLearner::GoodHello();
    hello.set_host(host);
    learner.SayHello(hello);
    const absl::Status end = learner.WaitForEnd();
    CHECK(ReasonOf(end) == "PROTOCOL_VIOLATION");
    CHECK(end.message().find("hello.host") != absl::string_view::npos);
  }
  {
    RawLearner learner(fixture.server.get());
    v1::RunRequest message;
    message.mutable_progress();
    learner.Say(std::move(message));
    CHECK(learner.WaitForEnd().code() == absl::StatusCode::kInvalidArgument);
  }
  {
    RawLearner learner(fixture.server.get());
    v1::Hello hello = RawLearner::GoodHello();
    hello.set_shard_slots(100000);
    learner.SayHello(hello);
    CHECK(learner.WaitForEnd().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE(
    "shard service: a segment with NaN ends that stream, and the shard goes to another learner",
    "[loopback]") {
  Fixture fixture;
  const std::atomic<bool> cancel = false;
  absl::StatusOr<std::vector<ShardResult>> results = absl::UnknownError("not run");
  std::thread run(
      [&] { results = fixture.board.Run({testing::OutcomesShard()}, {}, cancel, nullptr); });

  const auto answer = [](RawLearner* learner, double reward) {
    learner->SayHello(RawLearner::GoodHello());
    const v1::Shard got = learner->WaitFor(v1::RunResponse::kShard).shard();
    v1::RunRequest segment, done;
    *segment.mutable_segment() = testing::OutcomesSegment(got, reward);
    *done.mutable_shard_done() = testing::DoneAfter(segment.segment());
    learner->Say(std::move(segment));
    learner->Say(std::move(done));
  };
  {
    RawLearner bad(fixture.server.get());
    answer(&bad, std::numeric_limits<double>::quiet_NaN());
    const absl::Status end = bad.WaitForEnd();
    CHECK(end.code() == absl::StatusCode::kInvalidArgument);
    CHECK(end.message().find("shaped_rewards") != absl::string_view::npos);
  }
  RawLearner good(fixture.server.get());
  answer(&good, 2);
  run.join();
  REQUIRE(results.ok());
  CHECK((*results)[0].segments[0].shaped_rewards[0][3].item<double>() == 2);
}

}  // namespace mentor::meta_learner::TEST_FILE
