// Segments that learners send to a meta-learner (docs/performance.md, `segments`). Simulated
// learners, 1, 2, 4 ... of them, send segments as large as those of ML1 over mutual TLS without
// computing them. Also the cost of each step of receiving a byte.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/strings/str_format.h>

#include "agents/segment.h"
#include "common/check.h"
#include "common/cpu_time.h"
#include "common/hash.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "common/protocol.h"
#include "common/rpc/certificates.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/rpc/stream.h"
#include "common/spec/spec.h"
#include "common/temporary_folder.h"
#include "tests/bench/bench.h"
#include "tests/bench/workload.h"
#include "mentor/v1/shard_service.grpc.pb.h"
#include "meta_learner/fleet/shard_service.h"
#include "shards/segment_proto.h"

namespace mentor::bench {
namespace {

int learners_max = 4;
int ingest_threads = 2;

// A shard of ML1.
constexpr int kShardLifetimes = 15;
constexpr uint32_t kShardIterations = 3, kIterationSteps = 2000;
constexpr uint32_t kSegmentsUnderWay = 2;  // As learner/learner.cc.
constexpr uint32_t kShardSlots = 2;
constexpr double kSecondsPerSize = 3;

absl::StatusOr<v1::Shard> SegmentShard() {
  v1::Shard shard;
  MENTOR_ASSIGN_OR_RETURN(
      const v1::ExperimentSpec spec,
      LoadSpec(absl::StrFormat("benchmark { name: 'point_reach' } lifetime { iterations: %d "
                               "steps_per_iteration: %d }",
                               kShardIterations, kIterationSteps)));
  *shard.mutable_spec() = WithDefaults(spec);
  shard.set_experiment("experiments/bench");
  for (int i = 0; i < kShardLifetimes; ++i)
    shard.add_lifetimes()->set_number(static_cast<uint32_t>(i));
  shard.set_reward_source(v1::REWARD_SOURCE_SPARSE);
  shard.mutable_shape()->set_observation_size(kObservation);
  shard.mutable_shape()->set_action_size(kAction);
  shard.mutable_shape()->set_episode_steps(500);
  shard.mutable_shape()->set_independent_episodes(true);
  shard.mutable_inner_loop()->set_name("ppo");
  shard.set_iterations(kShardIterations);
  shard.set_collections(1);
  return shard;
}

v1::Segment FullSegment(const v1::Shard& shard) {
  v1::Segment proto;
  const learner::Segment segment = learner::ZeroSegment(
      learner::SizesOf(shard, 0), torch::kCPU, [](const learner::SegmentField& field) {
        return field.source == learner::SegmentField::Source::kActor && !field.with_truncations;
      });
  learner::AddTensors(segment, /*outcomes_only=*/false, &proto);
  return proto;
}

// A learner that has the segments of every shard ready.
class SegmentSender {
 public:
  using Stream = rpc::ClientStream<v1::RunRequest, v1::RunResponse>;

  SegmentSender(const std::shared_ptr<grpc::Channel>& channel, const v1::Segment& segment,
                const std::string& hash)
      : stub_(v1::ShardService::NewStub(channel)), segment_(segment), hash_(hash) {
    stream_ = Stream::Make({.message_bytes_max = rpc::kShardMessageBytesMax});
    stream_->Start({.on_message = [this](v1::RunResponse message) { OnMessage(message); },
                    .on_closed =
                        [this](const absl::Status&) {
                          const MutexLock lock(mutex_);
                          closed_ = true;
                          changed_.NotifyAll();
                        }},
                   [&](auto* context, auto* reactor) { stub_->async()->Run(context, reactor); });
    v1::RunRequest hello;
    *hello.mutable_hello() = NewHello();
    hello.mutable_hello()->set_threads(1);
    hello.mutable_hello()->set_device("cpu");
    hello.mutable_hello()->set_numeric_fingerprint("simulated");
    hello.mutable_hello()->set_shard_slots(kShardSlots);
    stream_->Send(std::move(hello));
  }
  ~SegmentSender() {
    stream_->Close(absl::CancelledError("done"));
    MutexLock lock(mutex_);
    while (!closed_) changed_.Wait(lock);
  }

 private:
  struct Sent {
    uint64_t epoch = 0;
    uint32_t segments = 0;
  };
  // Runs on one of gRPC's threads at a time.
  void OnMessage(const v1::RunResponse& message) {
    if (message.has_shard()) {
      sent_[message.shard().shard_id()] = {.epoch = message.shard().epoch()};
      for (uint32_t i = 0; i < kSegmentsUnderWay; ++i) SendNext(message.shard().shard_id());
    } else if (message.has_ack()) {
      SendNext(message.ack().shard_id());
    }
  }
  void SendNext(uint64_t shard) {
    const auto found = sent_.find(shard);
    if (found == sent_.end()) return;
    Sent& sent = found->second;
    v1::RunRequest message;
    *message.mutable_segment() = segment_;
    message.mutable_segment()->set_shard_id(shard);
    message.mutable_segment()->set_epoch(sent.epoch);
    message.mutable_segment()->set_iteration(sent.segments++);
    stream_->Send(std::move(message));
    if (sent.segments < kShardIterations) return;
    v1::RunRequest end;
    end.mutable_shard_done()->set_shard_id(shard);
    end.mutable_shard_done()->set_epoch(sent.epoch);
    end.mutable_shard_done()->set_segments_hash(hash_);
    stream_->Send(std::move(end));
    sent_.erase(found);
  }

  const std::unique_ptr<v1::ShardService::Stub> stub_;
  const v1::Segment& segment_;
  const std::string& hash_;
  std::shared_ptr<Stream> stream_;
  std::map<uint64_t, Sent> sent_;  // Only OnMessage uses this.
  Mutex mutex_;
  CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

// Measures the CPU time of one thread for each step of receiving a segment, in bytes a second.
absl::Status MeasureSteps(const v1::Shard& shard, const v1::Segment& segment, Figures* figures) {
  const std::string bytes = segment.SerializeAsString();
  const auto measure = [&](const char* what, auto step) {
    constexpr int kTimes = 20;
    const double start = ThreadCpuSeconds();
    for (int i = 0; i < kTimes; ++i) step();
    (*figures)[std::string(what) + "_bytes_per_cpu_second"] = {
        kTimes * static_cast<double>(bytes.size()) / (ThreadCpuSeconds() - start), "bytes/s", ""};
  };
  measure("parse", [&] {
    v1::Segment parsed;
    parsed.ParseFromString(bytes);
  });
  measure("hash", [&] {
    Sha256 hash;
    learner::HashSegment(segment, &hash);
  });
  absl::Status status;
  measure("check_and_copy",
          [&] { status.Update(learner::SegmentFromProto(segment, shard).status()); });
  return status;
}

absl::Status MeasureIngest(int learners, const v1::Shard& shard, const v1::Segment& segment,
                           const std::string& certificates, Figures* figures) {
  Sha256 sum;
  for (uint32_t i = 0; i < kShardIterations; ++i) {
    v1::Segment numbered = segment;
    numbered.set_iteration(i);
    learner::HashSegment(numbered, &sum);
  }
  const std::string hash = sum.Finish();
  const auto pair = [&](const std::string& name) {
    return rpc::TlsFiles{.certificate = certificates + "/" + name + ".crt",
                         .key = certificates + "/" + name + ".key",
                         .authority = certificates + "/ca.crt"};
  };
  const auto metrics = Metrics::Create();
  prometheus::Counter& cpu_seconds = metrics->Counter("mentor_meta_ingest_seconds_total", "");
  meta_learner::ShardBoard board({.check_every = 0});
  meta_learner::ShardService service({.catalogue_hash = "simulated",
                                      .actor_fingerprint = "simulated",
                                      .learner_fingerprint = "simulated",
                                      .ingest_threads = ingest_threads},
                                     &board, metrics.get());
  MENTOR_ASSIGN_OR_RETURN(auto server,
                          rpc::Server::Start({.tls = pair("meta-learner")}, {service.service()}));
  std::vector<std::unique_ptr<SegmentSender>> senders;
  for (int i = 0; i < learners; ++i) {
    MENTOR_ASSIGN_OR_RETURN(const auto channel, rpc::MakeChannel({.address = server->address(),
                                                                  .tls = pair("learner")}));
    senders.push_back(std::make_unique<SegmentSender>(channel, segment, hash));
  }
  const std::atomic<bool> cancel = false;
  double bytes = 0, seconds = 0, cpu_before = 0;
  absl::Status status;
  for (int round = 0; status.ok() && (round == 0 || seconds < kSecondsPerSize); ++round) {
    const std::vector<v1::Shard> shards(static_cast<size_t>(learners) * kShardSlots, shard);
    const auto start = std::chrono::steady_clock::now();
    status = board.Run(shards, {}, cancel, nullptr).status();
    if (round == 0) {  // Learners connect in the first round.
      cpu_before = cpu_seconds.Value();
      continue;
    }
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    bytes += static_cast<double>(shards.size() * kShardIterations * segment.ByteSizeLong());
  }
  const double cpu = cpu_seconds.Value() - cpu_before;
  senders.clear();
  service.Stop();
  server->Shutdown(std::chrono::seconds(5));
  const std::string suffix = absl::StrFormat("_%03d_learners", learners);
  (*figures)["bytes_per_second" + suffix] = {bytes / seconds, "bytes/s", ""};
  (*figures)["ingest_cpu_share" + suffix] = {cpu / seconds, "threads", ""};
  (*figures)["ingest_bytes_per_cpu_second" + suffix] = {bytes / cpu, "bytes/s", ""};
  return status;
}

absl::StatusOr<Figures> RunSegments(const Settings&) {
  Figures figures;
  MENTOR_ASSIGN_OR_RETURN(const v1::Shard shard, SegmentShard());
  const v1::Segment segment = FullSegment(shard);
  figures["segment_bytes"] = {static_cast<double>(segment.ByteSizeLong()), "bytes", ""};
  MENTOR_RETURN_IF_ERROR(MeasureSteps(shard, segment, &figures));
  MENTOR_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Create("mentor-bench"));
  const std::string certificates = folder.path() / "certificates";
  MENTOR_RETURN_IF_ERROR(rpc::InitCertificates(certificates, {}).status());
  for (int learners = 1; learners <= learners_max; learners *= 2)
    MENTOR_RETURN_IF_ERROR(MeasureIngest(learners, shard, segment, certificates, &figures));
  return figures;
}

const RegisterBench register_segments(
    {.name = "segments",
     .summary = "Segments from simulated learners to a meta-learner over TLS",
     .run = RunSegments,
     .add_flags = [](CLI::App* command) {
       command
           ->add_option("--segment_learners", learners_max,
                        "Most learners at once that send segments: 1, 2, 4 ...")
           ->check(CLI::Range(1, 256))
           ->capture_default_str();
       command->add_option("--ingest_threads", ingest_threads, "Threads of the meta-learner for it")
           ->check(CLI::Range(1, 256))
           ->capture_default_str();
     }});

}  // namespace
}  // namespace mentor::bench
