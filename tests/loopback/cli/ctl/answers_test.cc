// Answers that mentorctl did not expect: in pages, too long, or of another program.
#include <map>

#include "tests/loopback/cli/ctl/mentorctl.h"

namespace mentor::TEST_FILE {

using namespace mentor::testing;

// One item a page; two do not fit into a message.
class PagedService final : public v1::ExperimentService::Service {
 public:
  grpc::Status ListPeers(grpc::ServerContext*, const v1::ListPeersRequest* request,
                         v1::ListPeersResponse* response) override {
    const int at = request->page_token().empty() ? 0 : std::stoi(request->page_token());
    v1::Peer& peer = *response->add_peers();
    peer.set_name(absl::StrCat("actors/a", at));
    if (at < 2) response->set_next_page_token(absl::StrCat(at + 1));
    return grpc::Status::OK;
  }
  grpc::Status QueryMetrics(grpc::ServerContext*, const v1::QueryMetricsRequest* request,
                            v1::QueryMetricsResponse* response) override {
    if (request->page_size() == 0) return {grpc::StatusCode::INVALID_ARGUMENT, "too many"};
    const int at = request->page_token().empty() ? 0 : std::stoi(request->page_token());
    v1::MetricSeries& series = *response->add_series();
    series.set_metric(absl::StrCat("m", at));
    series.add_steps(1);
    series.add_mean(at + 0.5);
    if (at < 2) response->set_next_page_token(absl::StrCat(at + 1));
    return grpc::Status::OK;
  }
  grpc::Status ListShards(grpc::ServerContext*, const v1::ListShardsRequest*,
                          v1::ListShardsResponse*) override {
    return {grpc::StatusCode::RESOURCE_EXHAUSTED, "Sent message larger than max (9 vs. 8)"};
  }
};

// One experiment after seven updates.
class LearningService final : public v1::ExperimentService::Service {
 public:
  grpc::Status GetExperiment(grpc::ServerContext*, const v1::GetExperimentRequest* request,
                             v1::Experiment* response) override {
    response->set_name(request->name());
    response->set_state(v1::Experiment::STATE_RUNNING);
    response->mutable_spec()->mutable_lifetime()->set_iterations(2);
    response->mutable_progress()->set_outer_updates(7);
    return grpc::Status::OK;
  }
  grpc::Status QueryMetrics(grpc::ServerContext*, const v1::QueryMetricsRequest* request,
                            v1::QueryMetricsResponse* response) override {
    if (request->step_min() != 3) return {grpc::StatusCode::INVALID_ARGUMENT, "others"};
    const std::map<std::string, double> means = {
        {"seg0", 0.1}, {"seg1", 0.4}, {"shaped_return", 11.5}};
    for (const auto& [name, mean] : means) {
      v1::MetricSeries& series = *response->add_series();
      series.set_metric(name);
      for (uint32_t step = 3; step <= 7; ++step) {
        series.add_steps(step);
        series.add_mean(mean + 0.01 * step);
      }
    }
    return grpc::Status::OK;
  }
};

// mentorctl with these arguments, at a server of this kind.
Outcome RunAt(const rpc::ServerOptions& options, const std::vector<grpc::Service*>& services,
              std::vector<std::string> arguments) {
  const TempFolder folder;
  auto server = rpc::Server::Start(options, services);
  REQUIRE(server.ok());
  arguments.insert(arguments.begin(), {"--server", (*server)->address()});
  Outcome outcome = Program(folder.path(), arguments).Wait();
  (*server)->Shutdown(std::chrono::seconds(5));
  return outcome;
}

TEST_CASE("mentorctl: an answer in pages is one answer", "[loopback]") {
  PagedService service;
  const Outcome peers =
      RunAt({.address = "127.0.0.1:0"}, {&service}, {"peers", "--output", "name"});
  CHECK(peers.code == 0);
  CHECK(peers.out == "actors/a0\nactors/a1\nactors/a2\n");
  const Outcome metrics = RunAt({.address = "127.0.0.1:0"}, {&service}, {"metrics", "x", "--csv"});
  CHECK(metrics.code == 0);
  CHECK(metrics.out == "step,m0,m1,m2\n1,0.5,1.5,2.5\n");
}

TEST_CASE("mentorctl: what is too long for one message gets a hint that fits", "[loopback]") {
  PagedService service;
  const Outcome shards = RunAt({.address = "127.0.0.1:0"}, {&service}, {"shards"});
  CHECK(shards.code != 0);
  CHECK(Contains(shards.err, "ask for less at once"));
  CHECK_FALSE(Contains(shards.err, "is mentor-meta-learner running"));
}

TEST_CASE("mentorctl: at a port of another program it says what answers there", "[loopback]") {
  const Outcome learner =
      RunAt({.address = "127.0.0.1:0", .health_names = {"mentor.v1.RolloutService"}}, {}, {"list"});
  CHECK(learner.code != 0);
  CHECK(Contains(learner.err, "a mentor-learner answers at 127.0.0.1:"));
  CHECK(Contains(learner.err, "--server"));
  const Outcome older = RunAt(
      {.address = "127.0.0.1:0", .health_names = {"mentor.v1.ExperimentService"}}, {}, {"list"});
  CHECK(Contains(older.err, "does not know ListExperiments: it is older"));
  const Outcome other = RunAt({.address = "127.0.0.1:0"}, {}, {"list"});
  CHECK(Contains(other.err, "is not a mentor-meta-learner of this version"));
}

TEST_CASE("mentorctl: get says what agents achieve", "[loopback]") {
  LearningService service;
  const Outcome got = RunAt({.address = "127.0.0.1:0"}, {&service}, {"get", "x"});
  INFO(got.out << got.err);
  CHECK(got.code == 0);
  CHECK(Contains(got.out, "Learned   success 45 %, return 11.55 (mean of 5 updates)\n"));
}

}  // namespace mentor::TEST_FILE
