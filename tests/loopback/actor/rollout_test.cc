// Actor and learner sides of RolloutService together: real actors, the real rollout server, and
// fake actors that break rules.
#include <atomic>
#include <cmath>
#include <cstring>
#include <future>
#include <limits>
#include <set>
#include <thread>
#include <vector>

#include <grpcpp/generic/generic_stub.h>

#include "actor/actor.h"
#include "actor/unit_runner.h"
#include "common/protocol.h"
#include "common/result_hash.h"
#include "common/rpc/channel.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/server.h"
#include "common/status.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "learner/rollout/rollout_server.h"
#include "tests/fake_actor.h"
#include "tests/learner_side.h"
#include "tests/mailbox.h"
#include "tests/testing.h"
#include "tests/units.h"

namespace mentor::TEST_FILE {

using learner::RolloutServer;
using mentor::testing::CheckEqual;
using mentor::testing::CreditOf;
using mentor::testing::Direct;
using mentor::testing::FakeActor;
using mentor::testing::GoodHello;
using mentor::testing::kGoOn;
using mentor::testing::kPatience;
using mentor::testing::LearnerSide;
using mentor::testing::MetaWorldUnit;
using mentor::testing::PointReachUnit;
using mentor::testing::Run;
using mentor::testing::Signal;
using std::chrono::milliseconds;

std::unique_ptr<actor::Actor> StartActor(std::function<std::shared_ptr<grpc::Channel>()> channel,
                                         int threads, Metrics* metrics) {
  return std::make_unique<actor::Actor>(
      actor::Actor::Options{.threads = threads,
                            .channel = std::move(channel),
                            .drain_deadline = milliseconds(10'000)},
      metrics);
}

std::vector<v1::Unit> SomeUnits(uint64_t shard, uint32_t point_reach, uint32_t meta_world = 0,
                                uint32_t steps = 60) {
  std::vector<v1::Unit> units;
  for (uint32_t i = 0; i < point_reach; ++i) units.push_back(PointReachUnit(i, steps + i % 7));
  for (uint32_t i = 0; i < meta_world; ++i) units.push_back(MetaWorldUnit(point_reach + i, 25));
  for (v1::Unit& unit : units) {
    unit.mutable_id()->set_shard(shard);
    unit.set_return_state(unit.id().agent() % 2 == 0);
  }
  return units;
}

TEST_CASE("rollout: units come back in order and equal to a direct run, whatever the fleet",
          "[loopback]") {
  const bool tcp = GENERATE(true, false);
  const auto units = SomeUnits(1, 40, 4);
  static const std::vector<std::string> want = Direct(units);
  for (const std::vector<int>& threads : {std::vector<int>{1}, {3}, {1, 2}, {2, 1, 1}}) {
    INFO("tcp " << tcp << ", actors " << threads.size() << ", threads of the first " << threads[0]);
    LearnerSide learner({}, tcp ? "127.0.0.1:0" : "");
    const auto metrics = Metrics::Create();
    std::vector<std::unique_ptr<actor::Actor>> actors;
    for (const int count : threads) {
      actors.push_back(
          StartActor([&] { return tcp ? learner.Tcp() : learner.server->InProcessChannel(); },
                     count, metrics.get()));
    }
    CheckEqual(learner.rollout.RunUnits(units, kGoOn), want);
    CHECK(learner.rollout.AwaitChecks(1, kGoOn).ok());
    CHECK(learner.rollout.StepsDone(1) > 0);
    CHECK(learner.Value("mentor_rollout_results_total{outcome=\"used\"}") ==
          static_cast<double>(units.size()));
    CHECK(learner.Value("mentor_rollout_divergence_total") == 0);
    CHECK(learner.Value("mentor_rollout_unit_backlog") == 0);
    for (auto& actor : actors) actor->Stop();
  }
}

TEST_CASE("rollout: several shards at once, from several threads", "[loopback]") {
  LearnerSide learner;
  const auto metrics = Metrics::Create();
  auto actor = StartActor([&] { return learner.Tcp(); }, 2, metrics.get());
  std::vector<std::unique_ptr<Run>> runs;
  for (uint64_t shard = 1; shard <= 4; ++shard)
    runs.push_back(std::make_unique<Run>(learner, SomeUnits(shard, 10)));
  for (uint64_t shard = 1; shard <= 4; ++shard)
    CheckEqual(runs[shard - 1]->Get(), Direct(SomeUnits(shard, 10)));
}

TEST_CASE("rollout: a long result travels in pieces", "[loopback]") {
  LearnerSide learner;
  const auto metrics = Metrics::Create();
  auto actor = StartActor([&] { return learner.Tcp(); }, 1, metrics.get());
  const auto units = SomeUnits(1, 2, 0, 100'000);  // About 4 MB each.
  CheckEqual(learner.rollout.RunUnits(units, kGoOn), Direct(units));
}

TEST_CASE("rollout: nobody there: units wait for the first actor", "[loopback]") {
  LearnerSide learner;
  const auto units = SomeUnits(1, 5);
  Run run(learner, units);
  Signal().WaitUntil([&] { return learner.Value("mentor_rollout_units_ready") == 5; });
  CHECK(learner.rollout.actors() == 0);
  const auto metrics = Metrics::Create();
  auto actor = StartActor([&] { return learner.Tcp(); }, 1, metrics.get());
  CheckEqual(run.Get(), Direct(units));
  CHECK(learner.rollout.actors() == 1);
  CHECK(learner.rollout.catalogue_hash() == envs::CatalogueHash());
  CHECK(learner.rollout.numeric_fingerprint() == envs::NumericFingerprint());
}

TEST_CASE("rollout: an actor is stopped in the middle, another one goes on", "[loopback]") {
  LearnerSide learner;
  const auto metrics = Metrics::Create();
  auto first = StartActor([&] { return learner.Tcp(); }, 2, metrics.get());
  const auto units = SomeUnits(1, 60, 0, 3000);
  Run run(learner, units);
  Signal().WaitUntil(
      [&] { return learner.Value("mentor_rollout_results_total{outcome=\"used\"}") >= 10; });
  first->Stop();
  Signal().WaitUntil([&] { return learner.rollout.actors() == 0; });
  // It said good-bye.
  CHECK(learner.Value("mentor_rollout_peer_deaths_total{cause=\"closed\"}") == 0);
  REQUIRE_FALSE(run.is_over());
  auto second = StartActor([&] { return learner.Tcp(); }, 1, metrics.get());
  CheckEqual(run.Get(), Direct(units));
}

TEST_CASE("rollout: the learner goes away and comes back, the actor finds it again", "[loopback]") {
  auto learner = std::make_unique<LearnerSide>();
  const std::string address = learner->server->address();
  const auto channel = learner->Tcp();
  const auto metrics = Metrics::Create();
  auto actor = StartActor([&] { return channel; }, 1, metrics.get());
  const auto units = SomeUnits(1, 40, 0, 3000);
  Run run(*learner, units);
  Signal().WaitUntil(
      [&] { return learner->Value("mentor_rollout_results_total{outcome=\"used\"}") >= 5; });
  learner->Stop();
  CHECK(run.Get().status().code() == absl::StatusCode::kUnavailable);
  CHECK(learner->rollout.RunUnits(units, kGoOn).status().code() == absl::StatusCode::kUnavailable);
  learner.reset();
  LearnerSide again({}, address);
  CheckEqual(Run(again, units).Get(), Direct(units));
}

TEST_CASE("rollout: a cancelled shard ends, its units are dropped, others go on", "[loopback]") {
  LearnerSide learner;
  std::atomic<bool> cancel{false};
  Run run(learner, SomeUnits(1, 200, 0, 5000), cancel);
  const auto metrics = Metrics::Create();
  auto actor = StartActor([&] { return learner.Tcp(); }, 1, metrics.get());
  Signal().WaitUntil(
      [&] { return learner.Value("mentor_rollout_results_total{outcome=\"used\"}") >= 3; });
  cancel = true;
  learner.rollout.Cancel(1);
  CHECK(run.Get().status().code() == absl::StatusCode::kCancelled);
  CHECK(learner.Value("mentor_rollout_units_ready") == 0);
  CHECK(learner.rollout.RunUnits(SomeUnits(1, 1), cancel).status().code() ==
        absl::StatusCode::kCancelled);
  CheckEqual(learner.rollout.RunUnits(SomeUnits(2, 20), kGoOn), Direct(SomeUnits(2, 20)));
  learner.rollout.Cancel(2);  // Nothing runs: nothing happens.
  CheckEqual(learner.rollout.RunUnits(SomeUnits(2, 3), kGoOn), Direct(SomeUnits(2, 3)));
  // Every unit of the cancelled shard was answered, so the whole credit is back.
  Signal().WaitUntil(
      [&] { return learner.Value("mentor_rollout_results_total{outcome=\"late\"}") >= 1; });
  CHECK(learner.Value("mentor_rollout_peers") == 1);
}

TEST_CASE("rollout: a unit that cannot work fails its shard with the actor's words", "[loopback]") {
  RolloutServer::Options options;
  options.dispatcher.retries = {.wait_min = milliseconds(1), .span = milliseconds(1)};
  LearnerSide learner(options);
  const auto metrics = Metrics::Create();
  auto actor = StartActor([&] { return learner.Tcp(); }, 1, metrics.get());
  auto units = SomeUnits(1, 3);
  units[1].mutable_task()->set_environment("no such thing");
  const auto results = learner.rollout.RunUnits(units, kGoOn);
  CHECK(ReasonOf(results.status()) == "UNIT_FAILED");
  INFO(results.status());
  CHECK(results.status().message().find("no such thing") != absl::string_view::npos);
  CheckEqual(learner.rollout.RunUnits(SomeUnits(1, 3), kGoOn), Direct(SomeUnits(1, 3)));
}

// --- Fake actors.

// Reports of the fakes, which may break rules again and again.
RolloutServer::Options PatientWithFakes() {
  RolloutServer::Options options{.catalogue_hash = "c", .numeric_fingerprint = "n"};
  options.dispatcher.standing.strikes_max = 1000;
  return options;
}

TEST_CASE("rollout: fake actors that break a rule lose their stream, and nothing else happens",
          "[loopback]") {
  LearnerSide learner(PatientWithFakes());
  struct Case {
    const char* what;
    const char* metric;  // Label of mentor_rollout_rejected_total.
    const char* expected;
    std::function<void(v1::WorkRequest*)> damage;
  };
  const auto rehash = [](v1::WorkRequest* m) {
    m->mutable_result()->set_result_hash(
        ResultHash(m->result().trajectory(), m->result().final_state()));
  };
  const auto set_number = [rehash](v1::WorkRequest* m, v1::Tensor* (v1::Trajectory::*member)(),
                                   auto value) {
    std::string* data = (m->mutable_result()->mutable_trajectory()->*member)()->mutable_data();
    std::memcpy(data->data() + 3 * sizeof(value), &value, sizeof(value));
    rehash(m);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const Case cases[] = {
      {"NaN reward", "result", "rewards: a number is not finite",
       [&](auto* m) { set_number(m, &v1::Trajectory::mutable_rewards, nan); }},
      {"infinite action", "result", "actions: a number is not finite",
       [&](auto* m) { set_number(m, &v1::Trajectory::mutable_actions, infinity); }},
      {"NaN observation", "result", "observations: a number is not finite",
       [&](auto* m) {
         set_number(m, &v1::Trajectory::mutable_observations, static_cast<float>(nan));
       }},
      {"NaN density", "result", "log_probs: a number is not finite",
       [&](auto* m) {
         set_number(m, &v1::Trajectory::mutable_log_probs, static_cast<float>(nan));
       }},
      {"flag of 3", "result", "terminations: a flag is not 0 to 2",
       [&](auto* m) {
         set_number(m, &v1::Trajectory::mutable_terminations, static_cast<char>(3));
       }},
      {"flag of 2", "result", "truncations: a flag is not 0 to 1",
       [&](auto* m) { set_number(m, &v1::Trajectory::mutable_truncations, static_cast<char>(2)); }},
      {"an end of both kinds", "result", "truncations: step 3 terminated",
       [&](auto* m) {
         set_number(m, &v1::Trajectory::mutable_terminations, static_cast<char>(1));
         set_number(m, &v1::Trajectory::mutable_truncations, static_cast<char>(1));
       }},
      {"last observations that nobody asked for", "result",
       "final_observations: the unit did not ask",
       [&](auto* m) {
         *m->mutable_result()->mutable_trajectory()->mutable_final_observations() =
             m->result().trajectory().next_observation();
         rehash(m);
       }},
      {"truncated data", "result", "observations: ",
       [&](auto* m) {
         m->mutable_result()
             ->mutable_trajectory()
             ->mutable_observations()
             ->mutable_data()
             ->pop_back();
         rehash(m);
       }},
      {"shape that does not fit", "result", "rewards: shape [999]",
       [&](auto* m) {
         m->mutable_result()->mutable_trajectory()->mutable_rewards()->set_shape(0, 999);
         rehash(m);
       }},
      {"huge negative shape", "result", "rewards: shape [-9223372036854775808]",
       [&](auto* m) {
         m->mutable_result()->mutable_trajectory()->mutable_rewards()->set_shape(
             0, std::numeric_limits<int64_t>::min());
         rehash(m);
       }},
      {"many axes", "result", "rewards: ",
       [&](auto* m) {
         for (int i = 0; i < 1000; ++i)
           m->mutable_result()->mutable_trajectory()->mutable_rewards()->add_shape(1);
         rehash(m);
       }},
      {"other type", "result", "rewards: type DTYPE_FLOAT32, expected DTYPE_FLOAT64",
       [&](auto* m) {
         m->mutable_result()->mutable_trajectory()->mutable_rewards()->set_dtype(
             v1::Tensor::DTYPE_FLOAT32);
         rehash(m);
       }},
      {"unknown type", "result", "rewards: type",
       [&](auto* m) {
         m->mutable_result()->mutable_trajectory()->mutable_rewards()->set_dtype(
             static_cast<v1::Tensor::DType>(99));
         rehash(m);
       }},
      {"no trajectory", "result", "observations: type",
       [&](auto* m) {
         m->mutable_result()->clear_trajectory();
         rehash(m);
       }},
      {"wrong hash", "result", "result_hash",
       [](auto* m) { m->mutable_result()->mutable_result_hash()->front() ^= 1; }},
      {"no hash", "result", "result_hash",
       [](auto* m) { m->mutable_result()->clear_result_hash(); }},
      {"state that nobody asked for", "result", "final_state: the unit did not ask",
       [&](auto* m) {
         m->mutable_result()->set_final_state("x");
         rehash(m);
       }},
      {"time that is none", "result", "cpu_seconds",
       [&](auto* m) { m->mutable_result()->set_cpu_seconds(nan); }},
      {"unit of somebody else", "unexpected", "does not hold",
       [](auto* m) { m->mutable_result()->mutable_id()->set_agent(77); }},
      {"a second hello", "hello", "hello came twice", [](auto* m) { *m = GoodHello(); }},
      {"credit of nothing", "credit", "credit", [](auto* m) { *m = CreditOf(0); }},
      {"credit without end", "credit", "credit", [](auto* m) { *m = CreditOf(0xffffffff); }},
      {"an empty message", "message", "empty message", [](auto* m) { m->Clear(); }},
      {"an unknown message", "message", "empty message",
       [](auto* m) {
         m->Clear();
         REQUIRE(m->ParseFromString(
             std::string("\xfa\x01\x01x", 4)));  // Field 31, which no version has.
       }},
  };
  auto units = SomeUnits(1, 1, 0, 7);
  units[0].set_return_state(false);
  actor::UnitRunner runner;
  v1::WorkRequest good;
  *good.mutable_result() = runner.Run(units[0]);
  Run run(learner, units);
  double rejected = 0;
  for (const Case& test : cases) {
    INFO(test.what);
    const std::string series =
        std::string("mentor_rollout_rejected_total{reason=\"") + test.metric + "\"}";
    const double before = learner.Value(series);
    FakeActor actor(learner);
    actor.Join();
    const auto unit = actor.Read();
    REQUIRE((unit && unit->has_unit()));
    v1::WorkRequest message = good;
    test.damage(&message);
    actor.stream->Write(message);
    const absl::Status end = actor.Finish();
    INFO(end);
    CHECK(end.code() == absl::StatusCode::kInvalidArgument);
    CHECK(end.message().find(test.expected) != absl::string_view::npos);
    CHECK(learner.Value(series) == before + 1);
    ++rejected;
  }
  Signal().WaitUntil([&] {
    return learner.Value("mentor_rollout_peer_deaths_total{cause=\"violation\"}") == rejected;
  });
  CHECK(learner.Value("mentor_rollout_results_total{outcome=\"used\"}") == 0);
  // The unit was given out every time, and an honest actor finishes it.
  FakeActor honest(learner);
  honest.Join();
  const auto unit = honest.Read();
  REQUIRE((unit && unit->has_unit()));
  CHECK(unit->unit().attempt() == rejected + 1);
  honest.stream->Write(good);
  CheckEqual(run.Get(), Direct(units));
}

TEST_CASE("rollout: labels are checked like the others", "[loopback]") {
  v1::Unit unit = PointReachUnit(0, 45);
  v1::Result good = actor::UnitRunner().Run(unit);
  REQUIRE(good.error().empty());
  *good.mutable_trajectory()->mutable_labels() = good.trajectory().actions();
  const auto message = [&](auto damage) {
    v1::Result result = good;
    damage(result.mutable_trajectory()->mutable_labels());
    result.set_result_hash(ResultHash(result.trajectory(), result.final_state()));
    return std::string(learner::ValidateResult(unit, result).message());
  };
  CHECK(message([](v1::Tensor*) {}).empty());
  CHECK(learner::ValidateResult(unit, good).message().find("result_hash") !=
        absl::string_view::npos);  // The hash covers them.
  CHECK(message([](v1::Tensor* labels) {
          labels->mutable_data()->pop_back();
        }).starts_with("labels: "));
  CHECK(message([](v1::Tensor* labels) { labels->set_shape(1, 1); }).starts_with("labels: shape"));
  CHECK(message([](v1::Tensor* labels) {
          labels->set_dtype(v1::Tensor::DTYPE_FLOAT64);
        }).starts_with("labels: type"));
  CHECK(message([](v1::Tensor* labels) {
          const float nan = std::numeric_limits<float>::quiet_NaN();
          std::memcpy(labels->mutable_data()->data(), &nan, sizeof(nan));
        }) == "labels: a number is not finite");
}

TEST_CASE("rollout: each truncation comes with its observation, checked like the others",
          "[loopback]") {
  v1::Unit unit = PointReachUnit(0, 45);
  unit.set_return_final_observations(true);
  const v1::Result good = actor::UnitRunner().Run(unit);
  INFO(good.error());
  REQUIRE(good.error().empty());
  REQUIRE(learner::ValidateResult(unit, good).ok());
  const int64_t count = good.trajectory().final_observations().shape(0);
  REQUIRE(count > 1);
  const auto refused = [&](const char* expected, auto damage) {
    INFO(expected);
    v1::Result result = good;
    damage(result.mutable_trajectory());
    result.set_result_hash(ResultHash(result.trajectory(), result.final_state()));
    const absl::Status status = learner::ValidateResult(unit, result);
    INFO(status);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(status.message().find(expected) != absl::string_view::npos);
  };
  refused("final_observations: type", [](v1::Trajectory* t) { t->clear_final_observations(); });
  refused("final_observations: shape", [&](v1::Trajectory* t) {
    v1::Tensor* last = t->mutable_final_observations();
    last->set_shape(0, count - 1);
    last->mutable_data()->resize(last->data().size() - 4 * sizeof(float));
  });
  refused("final_observations: shape", [](v1::Trajectory* t) {  // One flag more than observations.
    t->mutable_truncations()->mutable_data()->front() = 1;
  });
  refused("final_observations: ",
          [](v1::Trajectory* t) { t->mutable_final_observations()->mutable_data()->pop_back(); });
  refused("final_observations: a number is not finite", [](v1::Trajectory* t) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(t->mutable_final_observations()->mutable_data()->data(), &nan, sizeof(nan));
  });
  refused("truncations: 44 bytes, expected 45",
          [](v1::Trajectory* t) { t->mutable_truncations()->mutable_data()->pop_back(); });
  refused("terminations: type", [](v1::Trajectory* t) { t->clear_terminations(); });
  // The hash covers them.
  v1::Result other = good;
  other.mutable_trajectory()->mutable_final_observations()->mutable_data()->back() ^= 1;
  CHECK(learner::ValidateResult(unit, other).message().find("result_hash") !=
        absl::string_view::npos);
}

TEST_CASE("rollout: messages with flipped bits end the stream only", "[loopback]") {
  LearnerSide learner(PatientWithFakes());
  auto units = SomeUnits(1, 1);
  Run run(learner, units);
  v1::WorkRequest good;
  *good.mutable_result() = actor::UnitRunner().Run(units[0]);
  good.mutable_result()->clear_cpu_seconds();  // A flipped bit may leave it a valid time.
  good.mutable_result()->clear_policy_cpu_seconds();
  good.mutable_result()->clear_work_seconds();
  const std::string bytes = good.SerializeAsString();
  const RandomStream random{.seed = 3, .purpose = Purpose::kTest};
  int ended = 0;
  for (uint32_t round = 0; round < 60; ++round) {
    std::string damaged = bytes;
    // At any place, or near the start, where the structure is.
    damaged[random.Below(round % 2 == 0 ? bytes.size() : 60, round, 0)] ^=
        static_cast<char>(1 << random.Below(8, round, 1));
    v1::WorkRequest message;
    if (!message.ParseFromString(damaged)) continue;  // The next test's business.
    message.DiscardUnknownFields();                   // They are allowed, and so is any attempt.
    if (message.has_result()) message.mutable_result()->set_attempt(1);
    if (message.SerializeAsString() == good.SerializeAsString() || !message.has_result() ||
        !message.result().error().empty())
      continue;
    INFO("round " << round);
    FakeActor actor(learner);
    actor.Join();
    REQUIRE(actor.Read()->has_unit());
    actor.stream->Write(message);
    CHECK(actor.Finish().code() == absl::StatusCode::kInvalidArgument);
    ++ended;
  }
  CHECK(ended > 20);
  FakeActor honest(learner);
  honest.Join();
  REQUIRE(honest.Read()->has_unit());
  honest.stream->Write(good);
  CheckEqual(run.Get(), Direct(units));
}

TEST_CASE("rollout: bytes that are no message end the stream only", "[loopback]") {
  LearnerSide learner(PatientWithFakes());
  auto units = SomeUnits(1, 1);
  Run run(learner, units);
  for (const std::string& garbage : {std::string("\xff\xff\xff\xff"), std::string(100'000, '\x1a'),
                                     std::string("\x1a\x7f"
                                                 "abc")}) {
    const auto channel = learner.Tcp();
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    grpc::CompletionQueue queue;
    const auto stream = stub.PrepareCall(&context, "/mentor.v1.RolloutService/Work", &queue);
    const auto wait = [&] {
      void* tag;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    const auto write = [&](const std::string& bytes) {
      const grpc::Slice slice(bytes);
      stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
      return wait();
    };
    stream->StartCall(nullptr);
    REQUIRE(wait());
    REQUIRE(write(GoodHello().SerializeAsString()));
    REQUIRE(write(CreditOf(1).SerializeAsString()));
    REQUIRE(write(garbage));
    grpc::ByteBuffer buffer;
    do {
      stream->Read(&buffer, nullptr);
    } while (wait());
    grpc::Status status;
    stream->Finish(&status, nullptr);
    CHECK(wait());
    CHECK(status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED);
    Signal().WaitUntil([&] { return learner.rollout.actors() == 0; });
  }
  FakeActor honest(learner);
  honest.Join();
  REQUIRE(honest.Read()->has_unit());
  v1::WorkRequest good;
  *good.mutable_result() = actor::UnitRunner().Run(units[0]);
  honest.stream->Write(good);
  CheckEqual(run.Get(), Direct(units));
}

TEST_CASE("rollout: hello is checked before anything else", "[loopback]") {
  LearnerSide learner({.catalogue_hash = "c", .numeric_fingerprint = "n"});
  const auto answer = [&](const v1::WorkRequest& first) {
    FakeActor actor(learner);
    actor.stream->Write(first);
    return actor.Finish();
  };
  v1::WorkRequest hello = GoodHello();
  hello.mutable_hello()->set_protocol_version(999);
  CHECK(ReasonOf(answer(hello)) == "PROTOCOL_VERSION");
  hello = GoodHello();
  hello.mutable_hello()->set_catalogue_hash("other");
  absl::Status status = answer(hello);
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(ReasonOf(status) == "CATALOGUE_MISMATCH");
  CHECK(MetadataOf(status, "expected") == "c");
  CHECK(MetadataOf(status, "got") == "other");
  hello = GoodHello();
  hello.mutable_hello()->set_numeric_fingerprint("other");
  status = answer(hello);
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(ReasonOf(status) == "NUMERIC_MISMATCH");
  CHECK(MetadataOf(status, "expected") == "n");
  CHECK(MetadataOf(status, "got") == "other");
  hello = GoodHello();
  hello.mutable_hello()->clear_peer_uid();
  CHECK(ReasonOf(answer(hello)) == "PROTOCOL_VIOLATION");
  CHECK(ReasonOf(answer(CreditOf(1))) == "PROTOCOL_VIOLATION");
  CHECK(learner.rollout.actors() == 0);
  CHECK(learner.Value("mentor_rollout_rejected_total{reason=\"mismatch\"}") == 3);
}

TEST_CASE("rollout: the first actor sets what others must be equal to; Expect overrides",
          "[loopback]") {
  LearnerSide learner;
  FakeActor first(learner);
  first.Join();
  CHECK(learner.rollout.catalogue_hash() == "c");
  CHECK(learner.rollout.numeric_fingerprint() == "n");
  {
    FakeActor second(learner);
    v1::WorkRequest hello = GoodHello();
    hello.mutable_hello()->set_numeric_fingerprint("m");
    second.stream->Write(hello);
    CHECK(ReasonOf(second.Finish()) == "NUMERIC_MISMATCH");
  }
  learner.rollout.Expect("", "m");
  CHECK(ReasonOf(first.Finish()) == "NUMERIC_MISMATCH");
  FakeActor third(learner);
  v1::WorkRequest hello = GoodHello();
  hello.mutable_hello()->set_numeric_fingerprint("m");
  third.stream->Write(hello);
  const auto welcome = third.Read();
  REQUIRE((welcome && welcome->has_welcome()));
}

TEST_CASE("rollout: a real actor of another catalogue is refused and keeps away", "[loopback]") {
  LearnerSide learner({.catalogue_hash = "another"});
  const auto metrics = Metrics::Create();
  auto actor = StartActor([&] { return learner.Tcp(); }, 1, metrics.get());
  Signal().WaitUntil(
      [&] { return learner.Value("mentor_rollout_rejected_total{reason=\"mismatch\"}") >= 1; });
  actor->Stop();  // The actor waits a minute before the next attempt; a stop does not wait.
  CHECK(learner.Value("mentor_rollout_rejected_total{reason=\"mismatch\"}") == 1);
}

TEST_CASE("rollout: a lost actor's units go to another one; a copy that differs raises the alarm",
          "[loopback]") {
  std::atomic<int64_t> now_ns{0};
  RolloutServer::Options options{.catalogue_hash = "c", .numeric_fingerprint = "n"};
  options.dispatcher.now = [&] { return std::chrono::nanoseconds(now_ns.load()); };
  LearnerSide learner(options);
  auto units = SomeUnits(1, 1, 0, 7);
  units[0].set_return_state(false);
  Run run(learner, units);
  v1::WorkRequest good;
  *good.mutable_result() = actor::UnitRunner().Run(units[0]);

  auto lost = std::make_unique<FakeActor>(learner);
  lost->Join();
  REQUIRE(lost->Read()->has_unit());
  lost.reset();  // As if the process were killed.
  FakeActor slow(learner);
  slow.Join();
  const auto second = slow.Read();
  REQUIRE((second && second->has_unit()));
  CHECK(second->unit().attempt() == 2);
  CHECK(learner.Value("mentor_rollout_reissued_total{reason=\"lost\"}") == 1);
  CHECK(learner.Value("mentor_rollout_peer_deaths_total{cause=\"closed\"}") == 1);

  now_ns = std::chrono::nanoseconds(std::chrono::seconds(6)).count();
  FakeActor fast(learner);
  fast.Join();  // The credit makes the server look for units that lag.
  const auto third = fast.Read();
  REQUIRE((third && third->has_unit()));
  CHECK(third->unit().attempt() == 3);
  CHECK(learner.Value("mentor_rollout_reissued_total{reason=\"lagging\"}") == 1);
  fast.stream->Write(good);
  CheckEqual(run.Get(), Direct(units));

  // The slow actor answers after all: whole and with a right hash, but with another number in it.
  v1::WorkRequest other = good;
  v1::Trajectory* trajectory = other.mutable_result()->mutable_trajectory();
  const double reward = 12345;
  std::memcpy(trajectory->mutable_rewards()->mutable_data()->data(), &reward, sizeof(reward));
  other.mutable_result()->set_result_hash(ResultHash(*trajectory, ""));
  slow.stream->Write(other);
  Signal().WaitUntil([&] { return learner.Value("mentor_rollout_divergence_total") == 1; });
  CHECK(learner.Value("mentor_rollout_results_total{outcome=\"duplicate\"}") == 1);
  CHECK(learner.rollout.actors() == 2);
}

TEST_CASE("rollout: who says goodbye and then breaks off gives its units back once", "[loopback]") {
  LearnerSide learner({.catalogue_hash = "c", .numeric_fingerprint = "n"});
  auto units = SomeUnits(1, 1, 0, 7);
  units[0].set_return_state(false);
  Run run(learner, units);
  v1::WorkRequest good, goodbye;
  *good.mutable_result() = actor::UnitRunner().Run(units[0]);
  goodbye.mutable_leaving();

  auto leaves = std::make_unique<FakeActor>(learner);
  leaves->Join();
  REQUIRE(leaves->Read()->has_unit());
  leaves->stream->Write(goodbye);
  FakeActor other(learner);
  other.Join();
  const auto unit = other.Read();
  REQUIRE((unit && unit->has_unit()));
  CHECK(unit->unit().attempt() == 2);
  // Until it has gone it is shown, with its unit, and counts for nothing.
  CHECK(learner.rollout.actors() == 1);
  CHECK(learner.rollout.answering_actors() == 1);
  int draining = 0;
  for (const v1::Peer& peer : learner.rollout.Peers()) {
    draining += peer.draining() ? 1 : 0;
    CHECK(peer.work() == 1);
    CHECK(peer.strikes() == 0);
  }
  CHECK(draining == 1);
  leaves.reset();
  Signal().WaitUntil(
      [&] { return learner.Value("mentor_rollout_peer_deaths_total{cause=\"closed\"}") == 1; });
  CHECK(learner.Value("mentor_rollout_reissued_total{reason=\"leaving\"}") == 1);
  CHECK(learner.Value("mentor_rollout_reissued_total{reason=\"lost\"}") == 0);
  CHECK(learner.Value("mentor_rollout_units_outstanding") == 1);
  CHECK(learner.Value("mentor_rollout_units_ready") == 0);
  CHECK(learner.rollout.Peers().size() == 1);
  other.stream->Write(good);
  CheckEqual(run.Get(), Direct(units));
  CHECK(learner.Value("mentor_rollout_results_total{outcome=\"used\"}") == 1);
  CHECK(learner.Value("mentor_rollout_quarantines_total") == 0);
}

TEST_CASE("rollout: an actor that comes back amid its quarantine works when it ends",
          "[loopback]") {
  learner::RolloutServer::Options options{.catalogue_hash = "c", .numeric_fingerprint = "n"};
  options.dispatcher.standing.quarantine_min = std::chrono::seconds(1);
  options.dispatcher.lag_min = options.dispatcher.newcomer_lag_min = std::chrono::milliseconds(5);
  LearnerSide learner(std::move(options));
  auto units = SomeUnits(1, 1, 0, 7);
  units[0].set_return_state(false);
  std::atomic<bool> cancel{false};
  Run cancelled(learner, units, cancel);
  for (int lost = 1; lost <= 3; ++lost) {
    FakeActor breaks_off(learner);
    breaks_off.Join();
    REQUIRE(breaks_off.Read()->has_unit());
    breaks_off.context.TryCancel();
    CHECK_FALSE(breaks_off.Finish().ok());
    Signal().WaitUntil([&] { return learner.rollout.actors() == 0; });
  }
  CHECK(learner.Value("mentor_rollout_quarantines_total") == 1);
  cancel = true;
  learner.rollout.Cancel(1);
  CHECK(cancelled.Get().status().code() == absl::StatusCode::kCancelled);
  // No unit is out, so time alone changes nothing until the actor comes back.
  FakeActor back(learner);
  back.Join();
  for (v1::Unit& unit : units) unit.mutable_id()->set_shard(2);
  Run run(learner, units);
  const auto unit = back.Read();
  REQUIRE((unit && unit->has_unit()));
  v1::WorkRequest good;
  *good.mutable_result() = actor::UnitRunner().Run(units[0]);
  back.stream->Write(good);
  CheckEqual(run.Get(), Direct(units));
}

// --- A learner that breaks a rule.

class GreedyLearner : public v1::RolloutService::CallbackService {
 public:
  using Stream = rpc::ServerStream<v1::WorkResponse, v1::WorkRequest>;
  grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* Work(
      grpc::CallbackServerContext* context) override {
    auto stream = Stream::Make(context, {});
    stream->Start({.on_message =
                       [stream](const v1::WorkRequest& message) {
                         if (message.has_hello()) {
                           v1::WorkResponse welcome;
                           welcome.mutable_welcome();
                           stream->Send(welcome);
                         } else if (message.has_credit()) {
                           for (uint32_t i = 0; i < 100; ++i) {
                             v1::WorkResponse unit;
                             *unit.mutable_unit() = PointReachUnit(i, 100'000);
                             stream->Send(unit);
                           }
                         }
                       },
                   .on_closed = [this](const absl::Status& status) { closed.Push(status); }});
    return stream->reactor();
  }
  testing::Mailbox<absl::Status> closed;
};

TEST_CASE("rollout: an actor leaves a learner that sends beyond its credit", "[loopback]") {
  GreedyLearner service;
  auto server = rpc::Server::Start({}, {&service});
  REQUIRE(server.ok());
  auto channel = rpc::MakeChannel({.address = (*server)->address()});
  REQUIRE(channel.ok());
  const auto metrics = Metrics::Create();
  auto actor = StartActor([&] { return *channel; }, 1, metrics.get());
  CHECK_FALSE(service.closed.Pop().ok());
  actor->Stop();
  (*server)->Shutdown(milliseconds(0));
}

// A learner that keeps the stream open and says nothing.
class MuteLearner : public v1::RolloutService::CallbackService {
 public:
  using Stream = rpc::ServerStream<v1::WorkResponse, v1::WorkRequest>;
  grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* Work(
      grpc::CallbackServerContext* context) override {
    auto stream = Stream::Make(context, {});
    stream->Start({.on_message = [](const v1::WorkRequest&) {},
                   .on_closed = [this](const absl::Status& status) { closed.Push(status); }});
    return stream->reactor();
  }
  testing::Mailbox<absl::Status> closed;
};

TEST_CASE("rollout: an actor leaves a learner that does not answer hello", "[loopback]") {
  MuteLearner service;
  auto server = rpc::Server::Start({}, {&service});
  REQUIRE(server.ok());
  auto channel = rpc::MakeChannel({.address = (*server)->address()});
  REQUIRE(channel.ok());
  const auto metrics = Metrics::Create();
  actor::Actor actor({.channel = [&] { return *channel; }, .welcome_deadline = milliseconds(100)},
                     metrics.get());
  CHECK_FALSE(service.closed.Pop().ok());
  CHECK_FALSE(service.closed.Pop().ok());  // It connects again.
  actor.Stop();
  (*server)->Shutdown(milliseconds(0));
}

// A learner that takes a unit back before the actor has begun it.
class ChangingLearner : public v1::RolloutService::CallbackService {
 public:
  using Stream = rpc::ServerStream<v1::WorkResponse, v1::WorkRequest>;
  grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* Work(
      grpc::CallbackServerContext* context) override {
    stream = Stream::Make(context, {});
    stream->Start({.on_message =
                       [this](v1::WorkRequest message) {
                         if (message.has_hello()) {
                           v1::WorkResponse welcome;
                           welcome.mutable_welcome();
                           stream->Send(welcome);
                         } else {
                           messages.Push(std::move(message));
                         }
                       },
                   .on_closed = [](const absl::Status&) {}});
    return stream->reactor();
  }
  void Give(const v1::Unit& unit) {
    v1::WorkResponse message;
    *message.mutable_unit() = unit;
    stream->Send(std::move(message));
  }
  std::shared_ptr<Stream> stream;
  testing::Mailbox<v1::WorkRequest> messages;
};

TEST_CASE("rollout: a unit that is cancelled in line is answered, and its credit is there again",
          "[loopback]") {
  ChangingLearner service;
  auto server = rpc::Server::Start({}, {&service});
  REQUIRE(server.ok());
  auto channel = rpc::MakeChannel({.address = (*server)->address()});
  REQUIRE(channel.ok());
  const auto metrics = Metrics::Create();
  auto actor = StartActor([&] { return *channel; }, 1, metrics.get());
  CHECK(service.messages.Pop().credit().units() == 32);  // Two of each of 16 experiments.
  const v1::Unit at_work = PointReachUnit(0, 200'000), in_line = PointReachUnit(1, 10),
                 after = PointReachUnit(2, 10);
  service.Give(at_work);
  service.Give(in_line);
  v1::WorkResponse cancel;
  *cancel.mutable_cancel_unit()->mutable_id() = in_line.id();
  service.stream->Send(std::move(cancel));
  const v1::WorkRequest answer = service.messages.Pop();
  CHECK(answer.result().id().agent() == 1);
  CHECK(answer.result().error() == "cancelled");
  CHECK(answer.result().attempt() == in_line.attempt());
  CHECK(service.messages.Pop().credit().units() == 1);
  service.Give(after);
  for (const uint32_t agent : {0U, 2U}) {
    const v1::WorkRequest done = service.messages.Pop();
    CHECK(done.result().id().agent() == agent);
    CHECK(done.result().error().empty());
    CHECK(service.messages.Pop().credit().units() == 1);
  }
  actor->Stop();
  (*server)->Shutdown(milliseconds(0));
}

TEST_CASE("rollout: who holds units of a cancelled shard is told", "[loopback]") {
  LearnerSide learner({.catalogue_hash = "c", .numeric_fingerprint = "n"});
  FakeActor fake(learner);
  fake.Join();
  std::atomic<bool> cancel{false};
  Run run(learner, SomeUnits(1, 2), cancel);
  for (int i = 0; i < 2; ++i) {
    const auto unit = fake.Read();
    REQUIRE((unit && unit->has_unit()));
  }
  cancel = true;
  learner.rollout.Cancel(1);
  std::set<uint32_t> agents;
  for (int i = 0; i < 2; ++i) {
    const auto told = fake.Read();
    REQUIRE((told && told->has_cancel_unit()));
    CHECK(told->cancel_unit().id().shard() == 1);
    agents.insert(told->cancel_unit().id().agent());
  }
  CHECK(agents.size() == 2);
  CHECK(run.Get().status().code() == absl::StatusCode::kCancelled);
}

TEST_CASE("rollout: a result without the state that was asked for is refused", "[loopback]") {
  v1::Unit unit = PointReachUnit(0, 7);
  unit.set_return_state(true);
  actor::UnitRunner runner;
  v1::Result result = runner.Run(unit);
  CHECK(learner::ValidateResult(unit, result).ok());
  result.clear_final_state();
  result.set_result_hash(ResultHash(result.trajectory(), ""));
  CHECK(learner::ValidateResult(unit, result).message() == "final_state: is missing");
}

TEST_CASE("rollout: actors and learners stop in any order, at any moment", "[loopback]") {
  const auto units = SomeUnits(1, 50, 0, 2000);
  const std::vector<std::string> want = Direct(units);
  int cut_short = 0;
  for (int round = 0; round < 12; ++round) {
    INFO("round " << round);
    auto learner = std::make_unique<LearnerSide>();
    const auto channel = learner->Tcp();
    const auto metrics = Metrics::Create();
    std::vector<std::unique_ptr<actor::Actor>> actors;
    for (int i = 0; i < 2; ++i)
      actors.push_back(StartActor([&] { return channel; }, 1, metrics.get()));
    Run run(*learner, units);
    if (round % 3 != 0) {
      Signal().WaitUntil([&] {
        return learner->Value("mentor_rollout_results_total{outcome=\"used\"}") >= round;
      });
    }
    if (round % 2 == 0) actors.clear();
    learner->Stop();
    const auto results = run.Get();
    // The whole result, exactly, if the machine was faster than Stop; otherwise the reason.
    if (results.ok()) {
      CheckEqual(results, want);
    } else {
      ++cut_short;
      CHECK(ReasonOf(results.status()) == "DRAINING");
    }
    learner.reset();
  }
  CHECK(cut_short > 0);
}

}  // namespace mentor::TEST_FILE
