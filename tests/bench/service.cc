// The service under load (docs/performance.md, `service`). How fast experiments are accepted, how
// fast a pause takes effect with a thousand in the queue, and what watchers receive and cost. Also
// how many units a second learners exchange with actors that need no time. One learner has 1 to
// 1000 actors. Ten learners at once use TLS, with results as large as those of Meta-World.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <malloc.h>

#include "actor/unit_runner.h"
#include "common/check.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "common/protocol.h"
#include "common/rpc/certificates.h"
#include "common/rpc/server.h"
#include "common/rpc/stream.h"
#include "common/spec/spec.h"
#include "common/temporary_folder.h"
#include "learner/rollout/rollout_server.h"
#include "tests/bench/bench.h"
#include "tests/bench/workload.h"
#include "mentor/local/cluster.h"
#include "mentor/v1/experiment_service.grpc.pb.h"

namespace mentor::bench {
namespace {

using Clock = std::chrono::steady_clock;
using S = v1::Experiment;
using Stub = v1::ExperimentService::Stub;

int queued = 1000;
int actors_max = 1000;
int learners = 10;

constexpr int kClients = 8;
constexpr int kWatchers = 500;
constexpr int kCycles = 10;
constexpr uint32_t kUnitSteps = 125;
// A result of 500 steps of Meta-World.
constexpr size_t kLargeResultBytes = 93'000;
constexpr double kSecondsPerFleet = 3;
constexpr auto kPatience = std::chrono::seconds(60);

// The memory in use, without what the allocator keeps for later.
double ResidentBytes() {
  malloc_trim(0);
  return MemoryBytes("VmRSS:");
}

double Quantile(std::vector<double> values, double quantile) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(quantile * static_cast<double>(values.size())))];
}

template <typename Request, typename Response>
absl::StatusOr<Response> Call(Stub* stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  Response response;
  const grpc::Status status = (stub->*method)(&context, request, &response);
  if (!status.ok()) return rpc::FromGrpc(status);
  return response;
}

// Waits until an experiment is in a state; returns the seconds that it took.
absl::StatusOr<double> WaitForState(Stub* stub, const std::string& name, S::State state) {
  const auto start = Clock::now();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  v1::WatchExperimentsRequest request;
  request.add_names(name);
  const auto reader = stub->WatchExperiments(&context, request);
  v1::WatchExperimentsResponse event;
  bool reached = false;
  while (!reached && reader->Read(&event)) reached = event.experiment().state() == state;
  const double seconds = SecondsSince(start);
  context.TryCancel();
  while (reader->Read(&event)) {
  }
  reader->Finish();
  if (!reached) return absl::DeadlineExceededError("an experiment did not get into its state");
  return seconds;
}

using Stubs = std::vector<std::unique_ptr<Stub>>;

// Submits one after another, then from several clients at once.
absl::Status MeasureSubmissions(const Stubs& stubs, const v1::CreateExperimentRequest& request,
                                Figures* figures) {
  std::vector<double> latencies;
  const auto begin = Clock::now();
  for (int i = 0; i < queued; ++i) {
    const auto start = Clock::now();
    MENTOR_RETURN_IF_ERROR(Call(stubs[0].get(), &Stub::CreateExperiment, request).status());
    latencies.push_back(SecondsSince(start));
  }
  (*figures)["submit_one_client_per_second"] = {queued / SecondsSince(begin), "1/s",
                                                "must 50, goal 500"};
  (*figures)["submit_p50"] = {Quantile(latencies, 0.5) * 1e3, "ms"};
  (*figures)["submit_p99"] = {Quantile(latencies, 0.99) * 1e3, "ms", "must 50, goal 10"};
  const double memory_before = ResidentBytes();
  std::atomic<int> failed = 0;
  const auto concurrent = Clock::now();
  {
    std::vector<std::jthread> clients;
    for (const auto& stub : stubs) {
      clients.emplace_back([&] {
        for (int i = 0; i < queued / kClients; ++i) {
          if (!Call(stub.get(), &Stub::CreateExperiment, request).ok()) ++failed;
        }
      });
    }
  }
  if (failed > 0) return absl::InternalError(absl::StrCat(failed.load(), " submissions failed"));
  (*figures)["submit_8_clients_per_second"] = {
      queued / kClients * kClients / SecondsSince(concurrent), "1/s", "must 50, goal 500"};
  (*figures)["memory_per_queued_experiment"] = {(ResidentBytes() - memory_before) / queued, "bytes",
                                                ""};

  return absl::OkStatus();
}

absl::Status MeasureListing(Stub* stub, Figures* figures) {
  std::vector<double> listing;
  for (int i = 0; i < 20; ++i) {
    const auto start = Clock::now();
    v1::ListExperimentsRequest list;
    list.set_filter("state=RUNNING");
    MENTOR_RETURN_IF_ERROR(Call(stub, &Stub::ListExperiments, list).status());
    listing.push_back(SecondsSince(start));
  }
  (*figures)["filtered_list_of_all_p50"] = {Quantile(listing, 0.5) * 1e3, "ms"};
  return absl::OkStatus();
}

// Pause and cancel of an experiment that learns, with the queue full.
absl::Status MeasurePauses(Stub* stub, const std::string& name, Figures* figures) {
  std::vector<double> pauses;
  for (int i = 0; i < kCycles; ++i) {
    v1::PauseExperimentRequest pause;
    pause.set_name(name);
    const auto start = Clock::now();
    MENTOR_RETURN_IF_ERROR(Call(stub, &Stub::PauseExperiment, pause).status());
    MENTOR_RETURN_IF_ERROR(WaitForState(stub, name, S::STATE_PAUSED).status());
    pauses.push_back(SecondsSince(start));
    v1::ResumeExperimentRequest resume;
    resume.set_name(name);
    MENTOR_RETURN_IF_ERROR(Call(stub, &Stub::ResumeExperiment, resume).status());
    MENTOR_RETURN_IF_ERROR(WaitForState(stub, name, S::STATE_RUNNING).status());
    std::this_thread::yield();
  }
  (*figures)["pause_effective_max"] = {*std::max_element(pauses.begin(), pauses.end()), "s",
                                       "must 2, goal 1"};
  v1::CancelExperimentRequest cancel;
  cancel.set_name(name);
  const auto cancelled = Clock::now();
  MENTOR_RETURN_IF_ERROR(Call(stub, &Stub::CancelExperiment, cancel).status());
  MENTOR_RETURN_IF_ERROR(WaitForState(stub, name, S::STATE_CANCELLED).status());
  (*figures)["cancel_effective"] = {SecondsSince(cancelled), "s", "must 2, goal 1"};
  return absl::OkStatus();
}

// What the watchers of one experiment have received.
class Audience {
 public:
  // Reads one watcher's stream to its end.
  void Listen(Stub* stub, grpc::ClientContext* context, const std::string& name) {
    v1::WatchExperimentsRequest watch;
    watch.add_names(name);
    const auto reader = stub->WatchExperiments(context, watch);
    v1::WatchExperimentsResponse event;
    while (reader->Read(&event)) {
      const MutexLock lock(mutex_);
      if (event.event() == v1::WatchExperimentsResponse::EVENT_BOOKMARK) ++ready_;
      if (event.event() == v1::WatchExperimentsResponse::EVENT_UPDATED &&
          event.experiment().weight() == weight_)
        ++heard_;
      changed_.NotifyAll();
    }
    reader->Finish();
  }
  // From now on, counts the watchers that receive the new weight.
  void Expect(uint32_t weight) {
    const MutexLock lock(mutex_);
    heard_ = 0;
    weight_ = weight;
  }
  // Waits until n watchers are ready or the patience ends; returns how many are ready.
  int WaitForReady(int n) {
    MutexLock lock(mutex_);
    changed_.WaitFor(lock, kPatience,
                     [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ready_ >= n; });
    return ready_;
  }
  bool WaitForHeard(int n) {
    MutexLock lock(mutex_);
    return changed_.WaitFor(lock, kPatience,
                            [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return heard_ >= n; });
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int ready_ ABSL_GUARDED_BY(mutex_) = 0;
  int heard_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t weight_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Measures the delay until watchers see a change, and the memory of an idle stream.
absl::Status MeasureWatchers(const std::string& address, v1::CreateExperimentRequest request,
                             Figures* figures) {
  const double before = ResidentBytes();
  const std::string watched = "experiments/watched";
  request.set_experiment_id("watched");
  Audience audience;
  Stubs stubs;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::jthread> watchers;
  const absl::Cleanup hang_up = [&] {
    for (auto& context : contexts) context->TryCancel();
  };
  for (int i = 0; i < kWatchers; ++i) {
    // A connection holds 64 streams.
    if (i % 60 == 0) {
      MENTOR_ASSIGN_OR_RETURN(const auto channel, rpc::MakeChannel({.address = address}));
      stubs.push_back(v1::ExperimentService::NewStub(channel));
      if (i == 0) {
        MENTOR_RETURN_IF_ERROR(Call(stubs[0].get(), &Stub::CreateExperiment, request).status());
      }
    }
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    watchers.emplace_back(
        [&audience, &watched, stub = stubs.back().get(), context = contexts.back().get()] {
          audience.Listen(stub, context, watched);
        });
  }
  const int ready = audience.WaitForReady(kWatchers);
  (*figures)["streams_held"] = {static_cast<double>(ready), "streams"};
  // Both ends are in this process, the clients' threads too.
  (*figures)["memory_per_stream_both_ends"] = {(ResidentBytes() - before) / kWatchers, "bytes"};
  std::vector<double> latency_first, latency_all;
  for (uint32_t weight = 2; ready >= kWatchers && weight < 22; ++weight) {
    audience.Expect(weight);
    v1::UpdateExperimentRequest update;
    update.mutable_experiment()->set_name(watched);
    update.mutable_experiment()->set_weight(weight);
    update.mutable_update_mask()->add_paths("weight");
    const auto start = Clock::now();
    MENTOR_RETURN_IF_ERROR(Call(stubs[0].get(), &Stub::UpdateExperiment, update).status());
    if (!audience.WaitForHeard(1)) break;
    latency_first.push_back(SecondsSince(start));
    if (!audience.WaitForHeard(kWatchers)) break;
    latency_all.push_back(SecondsSince(start));
  }
  if (latency_all.empty()) return absl::DeadlineExceededError("watchers did not hear a change");
  (*figures)["watch_latency_first_p50"] = {Quantile(latency_first, 0.5) * 1e3, "ms"};
  (*figures)["watch_latency_all_500_p99"] = {Quantile(latency_all, 0.99) * 1e3, "ms"};
  return absl::OkStatus();
}

// Measures the control API over a store on disk, with a real fleet of one actor behind it.
absl::Status MeasureControl(Figures* figures) {
  MENTOR_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Create("mentor-bench"));
  const auto metrics = Metrics::Create();
  MENTOR_ASSIGN_OR_RETURN(const auto store, meta_learner::OpenStore(folder.path() / "state"));
  Cluster cluster(
      {.listen = "127.0.0.1:0",
       .control = meta_learner::ExperimentService::Options{.queued_max = 1'000'000,
                                                           .streams_per_caller_max = 4096}},
      store.get(), metrics.get());
  MENTOR_RETURN_IF_ERROR(cluster.Start());
  Stubs stubs;
  for (int i = 0; i < kClients; ++i) {
    MENTOR_ASSIGN_OR_RETURN(const auto channel, rpc::MakeChannel({.address = cluster.address()}));
    stubs.push_back(v1::ExperimentService::NewStub(channel));
  }
  v1::CreateExperimentRequest request;
  MENTOR_ASSIGN_OR_RETURN(
      *request.mutable_experiment()->mutable_spec(),
      LoadSpec("benchmark { name: 'point_reach' } lifetime { steps_per_iteration: 500 } "
               "rule { outer_updates: 1000000 } evaluation { lifetimes_per_goal: 0 }"));
  // The first one takes the only place, so that the others stay in the queue.
  request.mutable_experiment()->set_priority(v1::PRIORITY_HIGH);
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment first,
                          Call(stubs[0].get(), &Stub::CreateExperiment, request));
  MENTOR_RETURN_IF_ERROR(WaitForState(stubs[0].get(), first.name(), S::STATE_RUNNING).status());
  request.mutable_experiment()->set_priority(v1::PRIORITY_NORMAL);
  MENTOR_RETURN_IF_ERROR(MeasureSubmissions(stubs, request, figures));
  MENTOR_RETURN_IF_ERROR(MeasureListing(stubs[0].get(), figures));
  MENTOR_RETURN_IF_ERROR(MeasurePauses(stubs[0].get(), first.name(), figures));
  return MeasureWatchers(cluster.address(), request, figures);
}

// An actor that has every answer ready. It costs the learner as much as a real actor, and needs no
// time itself.
class SimulatedActor {
 public:
  using Stream = rpc::ClientStream<v1::WorkRequest, v1::WorkResponse>;

  SimulatedActor(const std::shared_ptr<grpc::Channel>& channel, const v1::Result& answer)
      : stub_(v1::RolloutService::NewStub(channel)), answer_(answer) {
    stream_ = Stream::Make({});
    stream_->Start({.on_message = [this](v1::WorkResponse message) { OnMessage(message); },
                    .on_closed =
                        [this](const absl::Status&) {
                          const MutexLock lock(mutex_);
                          closed_ = true;
                          changed_.NotifyAll();
                        }},
                   [&](auto* context, auto* reactor) { stub_->async()->Work(context, reactor); });
    v1::WorkRequest hello;
    *hello.mutable_hello() = NewHello();
    hello.mutable_hello()->set_threads(1);
    hello.mutable_hello()->set_catalogue_hash("simulated");
    hello.mutable_hello()->set_numeric_fingerprint("simulated");
    stream_->Send(std::move(hello));
  }
  ~SimulatedActor() {
    stream_->Close(absl::CancelledError("done"));
    MutexLock lock(mutex_);
    while (!closed_) changed_.Wait(lock);
  }

 private:
  void OnMessage(const v1::WorkResponse& message) {
    if (message.has_welcome()) Credit(2);
    if (!message.has_unit()) return;
    v1::WorkRequest result;
    *result.mutable_result() = answer_;
    *result.mutable_result()->mutable_id() = message.unit().id();
    result.mutable_result()->set_attempt(message.unit().attempt());
    stream_->Send(std::move(result));
    Credit(1);
  }
  void Credit(uint32_t units) {
    v1::WorkRequest credit;
    credit.mutable_credit()->set_units(units);
    stream_->Send(std::move(credit));
  }

  const std::unique_ptr<v1::RolloutService::Stub> stub_;
  const v1::Result& answer_;
  std::shared_ptr<Stream> stream_;
  Mutex mutex_;
  CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

v1::Unit MakeUnit(uint64_t shard, uint32_t agent, uint32_t steps) {
  v1::Unit unit;
  unit.mutable_id()->set_shard(shard);
  unit.mutable_id()->set_agent(agent);
  unit.set_attempt(1);
  unit.set_steps(steps);
  unit.mutable_random()->set_seed(1);
  unit.mutable_task()->set_environment("point_reach");
  unit.mutable_task()->add_parameters(0.7);
  unit.mutable_task()->add_parameters(0.1);
  // 4-64-64-2 with a log-std for each action.
  v1::PolicyWeights& policy = *unit.mutable_policy();
  policy.set_observation_size(4);
  policy.set_action_size(2);
  policy.set_hidden_units(64);
  policy.set_network(v1::POLICY_NETWORK_MLP);
  policy.mutable_weights()->assign((64 * 4 + 64 + 64 * 64 + 64 + 2 * 64 + 2 + 2) * sizeof(float),
                                   '\0');
  return unit;
}

absl::StatusOr<v1::Result> AnswerOf(uint32_t steps) {
  actor::UnitRunner runner;
  v1::Result answer = runner.Run(MakeUnit(1, 0, steps));
  if (!answer.error().empty()) return absl::InternalError(answer.error());
  return answer;
}

// A learner's side of the actors, with simulated actors.
class Fleet {
 public:
  // `certificates`: folder of InitCertificates; empty: plain text.
  static absl::StatusOr<std::unique_ptr<Fleet>> Start(int actors, const v1::Result& answer,
                                                      const std::string& certificates) {
    const auto pair = [&](const std::string& name) {
      const std::string path = certificates + "/";
      return certificates.empty() ? rpc::TlsFiles{}
                                  : rpc::TlsFiles{.certificate = path + name + ".crt",
                                                  .key = path + name + ".key",
                                                  .authority = path + "ca.crt"};
    };
    auto fleet = std::make_unique<Fleet>();
    fleet->metrics_ = Metrics::Create();
    fleet->rollout_ = std::make_unique<learner::RolloutServer>(learner::RolloutServer::Options{},
                                                               fleet->metrics_.get());
    MENTOR_ASSIGN_OR_RETURN(
        fleet->server_, rpc::Server::Start({.tls = pair("learner")}, {fleet->rollout_->service()}));
    for (int i = 0; i < actors; ++i) {
      // A connection holds 64 streams.
      if (i % 60 == 0) {
        MENTOR_ASSIGN_OR_RETURN(
            fleet->channels_.emplace_back(),
            rpc::MakeChannel({.address = fleet->server_->address(), .tls = pair("actor")}));
      }
      fleet->actors_.push_back(std::make_unique<SimulatedActor>(fleet->channels_.back(), answer));
    }
    return fleet;
  }
  ~Fleet() {
    actors_.clear();
    if (rollout_ != nullptr) rollout_->Stop();
    if (server_ != nullptr) server_->Shutdown(std::chrono::seconds(5));
  }

  // Returns units a second over some time; the first round waits for every actor to connect.
  absl::StatusOr<double> Work(uint64_t first_shard, uint32_t units_per_round, uint32_t steps) {
    const std::atomic<bool> cancel = false;
    double units = 0, seconds = 0;
    for (int round = 0; round == 0 || seconds < kSecondsPerFleet; ++round) {
      std::vector<v1::Unit> work;
      for (uint32_t i = 0; i < units_per_round; ++i)
        work.push_back(MakeUnit(first_shard + static_cast<uint64_t>(round), i, steps));
      const auto start = Clock::now();
      MENTOR_RETURN_IF_ERROR(rollout_->RunUnits(std::move(work), cancel).status());
      if (round == 0) continue;
      seconds += SecondsSince(start);
      units += units_per_round;
    }
    return units / seconds;
  }

 private:
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<learner::RolloutServer> rollout_;
  std::unique_ptr<rpc::Server> server_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::unique_ptr<SimulatedActor>> actors_;
};

absl::Status MeasureFleets(Figures* figures) {
  MENTOR_ASSIGN_OR_RETURN(const v1::Result answer, AnswerOf(kUnitSteps));
  double one_actor = 0;
  for (int size = 1; size <= actors_max; size *= 10) {
    const double memory_before = ResidentBytes();
    MENTOR_ASSIGN_OR_RETURN(const auto fleet, Fleet::Start(size, answer, /*certificates=*/""));
    MENTOR_ASSIGN_OR_RETURN(const double rate, fleet->Work(1, 2000, kUnitSteps));
    if (size == 1) one_actor = rate;
    const std::string suffix = absl::StrFormat("_%04d_actors", size);
    (*figures)["units_per_second" + suffix] = {rate, "1/s", size == 1 ? "" : "must: no collapse"};
    if (size > 1) (*figures)["units_over_one_actor" + suffix] = {rate / one_actor, "ratio"};
    if (size >= 100) {
      (*figures)["memory_per_actor_both_ends" + suffix] = {(ResidentBytes() - memory_before) / size,
                                                           "bytes"};
    }
  }
  return absl::OkStatus();
}

// Measures several learners at once, each with its share of the actors, large results and mutual
// TLS.
absl::Status MeasureLearners(Figures* figures) {
  MENTOR_ASSIGN_OR_RETURN(const v1::Result small, AnswerOf(kUnitSteps));
  const auto steps = static_cast<uint32_t>(kLargeResultBytes * kUnitSteps / small.ByteSizeLong());
  MENTOR_ASSIGN_OR_RETURN(const v1::Result answer, AnswerOf(steps));
  MENTOR_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Create("mentor-bench"));
  const std::string certificates = folder.path() / "certificates";
  MENTOR_RETURN_IF_ERROR(rpc::InitCertificates(certificates, {}).status());
  std::vector<std::unique_ptr<Fleet>> fleets;
  for (int i = 0; i < learners; ++i) {
    MENTOR_ASSIGN_OR_RETURN(fleets.emplace_back(),
                            Fleet::Start(std::max(1, actors_max / learners), answer, certificates));
  }
  std::vector<absl::StatusOr<double>> rates(fleets.size(), 0.0);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < fleets.size(); ++i)
      threads.emplace_back([&, i] { rates[i] = fleets[i]->Work(1, 200, steps); });
  }
  double sum = 0;
  for (const auto& rate : rates) {
    MENTOR_RETURN_IF_ERROR(rate.status());
    sum += *rate;
  }
  const std::string suffix = absl::StrFormat("_per_second_%d_learners_93kB_tls", learners);
  (*figures)["units" + suffix] = {sum, "1/s"};
  (*figures)["bytes" + suffix] = {sum * static_cast<double>(answer.ByteSizeLong()), "bytes/s"};
  return absl::OkStatus();
}

absl::StatusOr<Figures> RunService(const Settings&) {
  Figures figures;
  MENTOR_RETURN_IF_ERROR(MeasureFleets(&figures));
  MENTOR_RETURN_IF_ERROR(MeasureLearners(&figures));
  MENTOR_RETURN_IF_ERROR(MeasureControl(&figures));
  return figures;
}

const RegisterBench register_service(
    {.name = "service",
     .summary = "Submissions, pauses, watchers and simulated fleets of the whole service",
     .run = RunService,
     .add_flags = [](CLI::App* command) {
       command->add_option("--queued", queued, "Experiments in the queue")
           ->check(CLI::Range(8, 100'000))
           ->capture_default_str();
       command->add_option("--actors", actors_max, "Largest simulated fleet: 1, 10, 100, 1000")
           ->check(CLI::Range(1, 10'000))
           ->capture_default_str();
       command->add_option("--learners", learners, "Learners that share it")
           ->check(CLI::Range(1, 256))
           ->capture_default_str();
     }});

}  // namespace
}  // namespace mentor::bench
