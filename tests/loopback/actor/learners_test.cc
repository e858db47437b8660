// Actors that know several learners: real actors, real rollout servers, and servers that are away,
// hang or are full.
#include <memory>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actor/actor.h"
#include "actor/learner_choice.h"
#include "actor/learner_list.h"
#include "common/status.h"
#include "tests/learner_side.h"
#include "tests/metric_value.h"
#include "tests/testing.h"
#include "tests/units.h"

namespace mentor::TEST_FILE {

using mentor::testing::kPatience;
using mentor::testing::LearnerSide;
using mentor::testing::MetricValue;
using mentor::testing::PointReachUnit;
using mentor::testing::Run;
using mentor::testing::Signal;
using std::chrono::milliseconds;

// A port of this machine that accepts no connections: they hang, or are refused once it is closed.
class DeafPort {
 public:
  explicit DeafPort(bool open) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(bind(socket_, plain, size) == 0);
    REQUIRE(getsockname(socket_, plain, &size) == 0);
    if (open) REQUIRE(listen(socket_, 16) == 0);
    name = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  }
  ~DeafPort() { close(socket_); }
  DeafPort(const DeafPort&) = delete;
  DeafPort& operator=(const DeafPort&) = delete;

  std::string name;

 private:
  const int socket_;
};

// Refuses actors, as a server with too many streams; has no work.
class FullLearner : public v1::RolloutService::CallbackService {
 public:
  FullLearner() : server_(rpc::Server::Start({}, {this}).value()) {}
  ~FullLearner() override { server_->Shutdown(milliseconds(2000)); }
  grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* Work(
      grpc::CallbackServerContext* context) override {
    auto stream = rpc::ServerStream<v1::WorkResponse, v1::WorkRequest>::Make(context, {});
    stream->Start({.on_message = [](const v1::WorkRequest&) {},
                   .on_closed = [this](const absl::Status&) { ++refused; }});
    stream->Close(
        WithRetryDelay(absl::ResourceExhaustedError("too many streams"), milliseconds(10)));
    return stream->reactor();
  }
  grpc::ServerUnaryReactor* GetLoad(grpc::CallbackServerContext* context, const v1::GetLoadRequest*,
                                    v1::GetLoadResponse*) override {
    ++asked;
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  std::string address() const { return server_->address(); }
  std::atomic<int> refused = 0, asked = 0;

 private:
  const std::unique_ptr<rpc::Server> server_;
};

// An actor whose first choice is the first of the addresses.
struct Guest {
  explicit Guest(const std::vector<std::string>& addresses) {
    std::string uid;
    for (int i = 0;; ++i) {
      uid = absl::StrCat("actor", i);
      actor::LearnerChoice choice(uid);
      choice.Update(addresses);
      if (choice.Ranked().front() == addresses.front()) break;
    }
    auto made =
        actor::LearnerList::Make(uid, {.address = absl::StrJoin(addresses, ",")}, metrics.get());
    INFO(made.status());
    REQUIRE(made.ok());
    learners = *std::move(made);
    actor = std::make_unique<actor::Actor>(
        actor::Actor::Options{
            .uid = uid, .learners = learners.get(), .look_every = milliseconds(20)},
        metrics.get());
  }
  double Moves(const char* reason) const {
    return MetricValue(*metrics, absl::StrCat("mentor_actor_moves_total{reason=\"", reason, "\"}"));
  }

  std::unique_ptr<Metrics> metrics = Metrics::Create();
  std::unique_ptr<actor::LearnerList> learners;
  std::unique_ptr<actor::Actor> actor;
};

std::vector<v1::Unit> Units(uint32_t count, uint32_t steps) {
  std::vector<v1::Unit> units;
  for (uint32_t i = 0; i < count; ++i) units.push_back(PointReachUnit(i, steps));
  return units;
}

TEST_CASE("learners: one that is away, hangs or is full is passed over", "[loopback]") {
  const DeafPort away(/*open=*/false), hangs(/*open=*/true);
  FullLearner full;
  LearnerSide learner;
  for (const std::string& first : {away.name, hangs.name, full.address()}) {
    INFO(first);
    // Named twice, which changes nothing.
    Guest guest({first, learner.server->address(), first});
    Run run(learner, Units(5, 60));
    run.CheckEqualToDirect();
    CHECK(MetricValue(*guest.metrics, "mentor_actor_learners") == 2);
    CHECK(MetricValue(*guest.metrics, "mentor_actor_at_home") == 0);
  }
}

TEST_CASE("learners: an actor without work helps out, and goes home when there is some again",
          "[loopback]") {
  LearnerSide home, other;
  Guest guest({home.server->address(), other.server->address()});
  Signal().WaitUntil([&] { return home.rollout.actors() == 1; });
  Run away(other, Units(300, 2000));
  Signal().WaitUntil([&] { return other.rollout.actors() == 1; });
  CHECK(home.rollout.actors() == 0);
  // It counts when the welcome arrives. An actor that finds no unit at home helps out again.
  Signal().WaitUntil([&] { return guest.Moves("idle") >= 1; });
  // Enough that units wait, whichever actor has some in hand.
  Run at_home(home, Units(50, 2000));
  at_home.CheckEqualToDirect();
  CHECK(guest.Moves("home") >= 1);
  CHECK_FALSE(away.is_over());
  // The units that the actor held there are given out again. There is no other actor, so it comes
  // back for them.
  away.CheckEqualToDirect();
  CHECK(guest.Moves("lost") == 0);
  for (LearnerSide* learner : {&home, &other}) {
    CHECK(learner->Value("mentor_rollout_peer_deaths_total{cause=\"closed\"}") == 0);
    CHECK(learner->Value("mentor_rollout_reissued_total{reason=\"lost\"}") == 0);
  }
}

TEST_CASE("learners: without work anywhere an actor stays where it is", "[loopback]") {
  LearnerSide home;
  FullLearner other;
  Guest guest({home.server->address(), other.address()});
  Signal().WaitUntil([&] { return other.asked >= 3; });
  CHECK(home.rollout.actors() == 1);
  CHECK(other.refused == 0);
  CHECK(guest.Moves("idle") + guest.Moves("home") + guest.Moves("lost") == 0);
}

TEST_CASE("learners: when one stops and the only other one is full, an actor waits for either",
          "[loopback]") {
  FullLearner full;
  auto learner = std::make_unique<LearnerSide>();
  const std::string address = learner->server->address();
  Guest guest({address, full.address()});
  Signal().WaitUntil([&] { return learner->rollout.actors() == 1; });
  learner->Stop();
  Signal().WaitUntil([&] { return full.refused >= 2; });
  learner.reset();
  LearnerSide again({}, address);
  Run run(again, Units(5, 60));
  run.CheckEqualToDirect();
}

TEST_CASE("learners: an actor that knows no learner, and one that hears of many, end at once",
          "[loopback]") {
  const auto metrics = Metrics::Create();
  const auto list = [&](const std::string& addresses) {
    return actor::LearnerList::Make("actor", {.address = addresses, .allow_insecure = true},
                                    metrics.get());
  };
  auto nobody = list("nobody.invalid:7");
  REQUIRE(nobody.ok());
  CHECK(nobody.value()->Next() > milliseconds(0));
  { const actor::Actor waits({.uid = "actor", .learners = nobody->get()}, metrics.get()); }
  const DeafPort away(/*open=*/false);
  std::vector<std::string> many;
  for (int i = 1; i <= 1000; ++i)
    many.push_back(absl::StrCat("127.0.", i / 250, ".", 1 + i % 250, away.name.substr(9)));
  auto thousand = list(absl::StrJoin(many, ","));
  REQUIRE(thousand.ok());
  {
    const actor::Actor looks({.uid = "actor", .learners = thousand->get()}, metrics.get());
    Signal().WaitUntil([&] { return MetricValue(*metrics, "mentor_actor_learners") == 1000; });
  }
  many.resize(1025, many.front());
  CHECK(absl::IsInvalidArgument(list(absl::StrJoin(many, ",")).status()));
  CHECK(absl::IsInvalidArgument(list("127.0.0.1:1,").status()));
  CHECK(absl::IsInvalidArgument(list("127.0.0.1:1,learner").status()));
  CHECK(absl::IsInvalidArgument(
      actor::LearnerList::Make("actor", {.address = "127.0.0.1:1,far.example:2"}, metrics.get())
          .status()));
}

}  // namespace mentor::TEST_FILE
