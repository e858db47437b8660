// The learner's side of RolloutService for tests, and the results of units on any fleet.
#pragma once

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actor/unit_runner.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "learner/rollout/rollout_server.h"
#include "tests/mailbox.h"
#include "tests/metric_value.h"
#include "tests/testing.h"

namespace mentor::testing {

// Server and dispatcher.
struct LearnerSide {
  explicit LearnerSide(learner::RolloutServer::Options options = {},
                       const std::string& address = "127.0.0.1:0")
      : metrics(Metrics::Create()), rollout(std::move(options), metrics.get()) {
    auto started = rpc::Server::Start({.address = address}, {rollout.service()});
    INFO(started.status());
    REQUIRE(started.ok());
    server = *std::move(started);
  }
  ~LearnerSide() { Stop(); }
  void Stop() {
    rollout.Stop();
    server->Shutdown(std::chrono::milliseconds(2000));
  }
  std::shared_ptr<grpc::Channel> Tcp() const {
    auto channel = rpc::MakeChannel({.address = server->address()});
    REQUIRE(channel.ok());
    return *channel;
  }
  double Value(const std::string& series) const { return MetricValue(*metrics, series); }

  std::unique_ptr<Metrics> metrics;
  learner::RolloutServer rollout;
  std::unique_ptr<rpc::Server> server;
};

// The part of a result that must not depend on which actor ran the unit.
inline std::string Payload(v1::Result result) {
  result.clear_cpu_seconds();
  result.clear_policy_cpu_seconds();
  result.clear_work_seconds();
  result.clear_attempt();
  return result.SerializeAsString();
}

inline std::vector<std::string> Direct(const std::vector<v1::Unit>& units) {
  actor::UnitRunner runner;
  std::vector<std::string> payloads;
  for (const v1::Unit& unit : units) payloads.push_back(Payload(runner.Run(unit)));
  return payloads;
}

inline void CheckEqual(const absl::StatusOr<std::vector<v1::Result>>& results,
                       const std::vector<std::string>& want) {
  INFO(results.status());
  REQUIRE(results.ok());
  REQUIRE(results->size() == want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    INFO("unit " << i);
    CHECK((Payload((*results)[i]) == want[i]));
  }
}

inline const std::atomic<bool> kGoOn{false};

// RunUnits in a separate thread. A failing test does not wait for it.
class Run {
 public:
  Run(LearnerSide& learner, std::vector<v1::Unit> units, const std::atomic<bool>& cancel = kGoOn)
      : learner_(&learner),
        units_(std::move(units)),
        future_(std::async(std::launch::async, [this, &cancel] {
          return learner_->rollout.RunUnits(units_, cancel);
        })) {}
  ~Run() {
    if (future_.valid()) learner_->rollout.Stop();
  }
  bool is_over() const {
    return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  absl::StatusOr<std::vector<v1::Result>> Get() {
    REQUIRE(future_.wait_for(kPatience) == std::future_status::ready);
    return future_.get();
  }
  void CheckEqualToDirect() {
    CheckEqual(Get(), Direct(units_));
    CHECK(learner_->Value("mentor_rollout_divergence_total") == 0);
  }

 private:
  LearnerSide* const learner_;
  const std::vector<v1::Unit> units_;
  std::future<absl::StatusOr<std::vector<v1::Result>>> future_;
};

}  // namespace mentor::testing
