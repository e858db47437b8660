#include "meta_learner/fleet/shard_service.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <google/protobuf/util/time_util.h>

#include "common/check.h"
#include "common/cpu_time.h"
#include "common/failpoint.h"
#include "common/history.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/protocol.h"
#include "common/resources/names.h"
#include "common/rpc/bundle_transfer.h"
#include "common/rpc/call_metrics.h"
#include "common/rpc/executor.h"
#include "common/rpc/stream.h"
#include "common/status.h"
#include "common/uuid.h"
#include "mentor/v1/shard_service.grpc.pb.h"

namespace mentor::meta_learner {
namespace {

using ShardStream = rpc::Stream<v1::RunResponse, v1::RunRequest>;
using ShardServerStream = rpc::ServerStream<v1::RunResponse, v1::RunRequest>;
using google::protobuf::util::TimeUtil;

absl::Status Stopping() {
  return MakeError(Reason::kDraining, "the meta-learner is stopping");
}

absl::Status BrokenRule(std::string_view what) {
  return MakeError(Reason::kProtocolViolation, what);
}

}  // namespace

class ShardService::Impl final : public v1::ShardService::CallbackService {
 public:
  Impl(Options options, ShardBoard* board, Metrics* metrics)
      : options_(std::move(options)),
        board_(board),
        server_uid_(NewUuid()),
        learners_(metrics->Gauge("mentor_meta_learners", "Learners connected.")),
        segments_(
            metrics->Counter("mentor_meta_segments_total", "Segments received from learners.")),
        rejected_(
            metrics->Counter("mentor_meta_learner_streams_rejected_total",
                             "Streams of learners ended for breaking a rule or not fitting.")),
        ingest_seconds_(metrics->Counter(
            "mentor_meta_ingest_seconds_total",
            "CPU time spent on what learners send: checks, hashes, copies and assignments.")),
        device_lost_(DeviceLostGauge(metrics, "learner")),
        stream_({.message_bytes_max = rpc::kShardMessageBytesMax,
                 .metrics = rpc::MakeStreamMetrics(metrics, "ShardService/Run")}),
        ingest_(options_.ingest_threads, /*items_max=*/0, /*per_caller_max=*/1) {
    MENTOR_HISTORY("serves", {{"border", "learners"}, {"server", server_uid_}});
  }

  grpc::ServerBidiReactor<v1::RunRequest, v1::RunResponse>* Run(
      grpc::CallbackServerContext* context) override {
    auto stream = ShardServerStream::Make(context, stream_);
    auto peer = std::make_shared<Peer>();
    peer->stream = stream;
    // Handling a message takes milliseconds, so the reactions only enqueue it.
    stream->Start({.on_message =
                       [this, peer](v1::RunRequest message) {
                         const auto kept =
                             std::make_shared<const v1::RunRequest>(std::move(message));
                         Enqueue(peer, [this, peer, kept] { Handle(peer, *kept); });
                       },
                   .on_closed =
                       [this, peer](const absl::Status& status) {
                         {
                           const MutexLock lock(mutex_);
                           open_.erase(peer.get());
                         }
                         Enqueue(peer, [this, peer, status] { Remove(peer.get(), status); });
                       }});
    {
      const MutexLock lock(mutex_);
      if (stopping_) {
        stream->Close(Stopping());
      } else {
        open_[peer.get()] = peer;
      }
    }
    return stream->reactor();
  }
  grpc::ServerUnaryReactor* FetchBundle(grpc::CallbackServerContext* context,
                                        const v1::FetchBundleRequest* request,
                                        v1::FetchBundleResponse* response) override {
    return bundles_.Fetch(context, request, response);
  }

  std::vector<v1::Peer> Peers() const {
    std::map<ShardBoard::LearnerId, Connected> connected;
    {
      const MutexLock lock(mutex_);
      connected = connected_;
    }
    // After the copy: the board knows each learner before connected_ does.
    const auto states = board_->Learners();
    std::vector<v1::Peer> peers;
    for (const auto& [id, learner] : connected) {
      v1::Peer& peer = peers.emplace_back(learner.info);
      if (const auto state = states.find(id); state != states.end()) peer.MergeFrom(state->second);
      if (const auto round_trip = learner.stream->RoundTrip())
        *peer.mutable_round_trip() = TimeUtil::NanosecondsToDuration(round_trip->count());
      for (const v1::Peer& actor : learner.actors) {
        peers.push_back(actor);
        peers.back().set_learner(learner.info.name());
      }
    }
    return peers;
  }

  std::vector<v1::ShardInfo> Shards(const std::string& experiment) const {
    std::vector<v1::ShardInfo> shards;
    const std::vector<ShardBoard::ShardState> states = board_->Shards(experiment);
    const MutexLock lock(mutex_);
    for (const ShardBoard::ShardState& state : states) {
      shards.push_back(state.info);
      if (!state.learner) continue;
      if (const auto learner = connected_.find(*state.learner); learner != connected_.end())
        shards.back().set_learner(learner->second.info.name());
    }
    return shards;
  }

  absl::Status Drain(const std::string& name) {
    std::optional<ShardBoard::LearnerId> learner;
    bool told = false;
    {
      const MutexLock lock(mutex_);
      for (auto& [id, connected] : connected_) {
        if (connected.info.name() == name) learner = id;
        for (const v1::Peer& actor : connected.actors) {
          if (actor.name() != name) continue;
          // Tell each learner that lists the actor: a single one may list an actor that another
          // has.
          v1::RunResponse message;
          message.mutable_drain_actor()->set_name(name);
          connected.stream->Send(std::move(message));
          told = true;
        }
      }
    }
    if (told) return absl::OkStatus();
    if (learner && board_->DrainLearner(*learner)) return absl::OkStatus();
    return MakeError(Reason::kNotFound,
                     absl::StrFormat("no peer '%s' is connected", name.substr(0, 100)),
                     {{"name", name.substr(0, 100)}});
  }

  void Stop() {
    bundles_.Stop();
    const MutexLock lock(mutex_);
    stopping_ = true;
    for (auto& [key, peer] : open_) peer->stream->Close(Stopping());
  }

 private:
  struct Peer {
    const std::string uid = NewUuid();  // The stream's.
    std::shared_ptr<ShardStream> stream;
    // Used only by the peer's tasks, one at a time.
    std::optional<ShardBoard::LearnerId> learner;
    std::string name;
    bool broken = false;
  };
  // A learner after its Hello, as shown in the list of peers.
  struct Connected {
    v1::Peer info;
    std::shared_ptr<ShardStream> stream;
    std::vector<v1::Peer> actors;
    bool left_out = false;  // Actors were left out once, which was logged.
  };

  // Handles messages of different learners in parallel, and those of one learner in order. The line
  // is bounded: each learner's window allows only a few segments in flight.
  void Enqueue(const std::shared_ptr<Peer>& peer, std::function<void()> task) {
    ingest_.PostAlways(
        [this, task = std::move(task)] {
          const double before = ThreadCpuSeconds();
          task();
          ingest_seconds_.Increment(ThreadCpuSeconds() - before);
        },
        peer->uid);
  }

  void Remove(Peer* peer, const absl::Status& end) {
    if (peer->learner) {
      board_->RemoveLearner(*peer->learner);
      learners_.Decrement();
      {
        const MutexLock lock(mutex_);
        connected_.erase(*peer->learner);
      }
      MENTOR_LOG(kInfo, "learner gone", {{"learner", peer->name}, {"why", end}});
    }
    peer->stream.reset();
  }

  void Handle(const std::shared_ptr<Peer>& peer, const v1::RunRequest& message) {
    if (peer->broken) return;
    const absl::Status status = Accept(peer, message);
    if (status.ok()) return;
    peer->broken = true;
    rejected_.Increment();
    MENTOR_LOG(kWarning, "stream of a learner ended", {{"learner", peer->name}, {"why", status}});
    peer->stream->Close(status);
  }

  absl::Status Accept(const std::shared_ptr<Peer>& peer, const v1::RunRequest& message) {
    if (!peer->learner) return AcceptHello(peer, message);
    switch (message.message_case()) {
      case v1::RunRequest::kSegment:
        MENTOR_FAILPOINT("shard.segment.received");
        segments_.Increment();
        return board_->OnSegment(*peer->learner, message.segment());
      case v1::RunRequest::kShardDone:
        return board_->OnDone(*peer->learner, message.shard_done());
      case v1::RunRequest::kProgress:
        board_->OnProgressMessage(*peer->learner, message.progress());
        return absl::OkStatus();
      case v1::RunRequest::kFleet:
        AcceptFleet(*peer->learner, message.fleet());
        return absl::OkStatus();
      case v1::RunRequest::kDeviceLost:
        return AcceptDeviceLost(*peer, message.device_lost().reason());
      case v1::RunRequest::kLeaving:
        board_->OnLeaving(*peer->learner);
        return absl::OkStatus();
      default:
        return BrokenRule("expected a segment, a shard's end, progress or the fleet");
    }
  }

  void AcceptFleet(ShardBoard::LearnerId learner, const v1::FleetReport& fleet) {
    ActorReports reports = CheckedActors(fleet, absl::Now());
    uint32_t actors = 0;
    std::set<std::string> hosts;
    for (const v1::Peer& actor : reports.actors) {
      if (actor.draining() || actor.quarantined()) continue;
      ++actors;
      hosts.insert(actor.hosts().begin(), actor.hosts().end());
    }
    board_->OnActors(learner, actors, std::move(hosts));
    const MutexLock lock(mutex_);
    const auto connected = connected_.find(learner);
    if (connected == connected_.end()) return;
    connected->second.actors = std::move(reports.actors);
    if (reports.left_out == 0 || std::exchange(connected->second.left_out, true)) return;
    MENTOR_LOG(kWarning, "actors that a learner reports are left out",
               {{"learner", connected->second.info.name()},
                {"actors", reports.left_out},
                {"why", reports.why}});
  }

  absl::Status AcceptDeviceLost(const Peer& peer, const std::string& reason) {
    MENTOR_RETURN_IF_ERROR(CheckPlain("device_lost.reason", reason, 1, kPeerTextBytesMax));
    device_lost_.SetToCurrentTime();
    MENTOR_LOG(kError, "the device of a learner has failed",
               {{"learner", peer.name}, {"why", reason}});
    board_->OnDeviceLost(*peer.learner, reason);
    return absl::OkStatus();
  }

  // Ends other streams with this uid. A half-open connection is noticed late, so the newest of
  // several streams with one uid is the live one.
  void EndOthersOf(const std::string& uid) {
    std::vector<std::shared_ptr<ShardStream>> others;
    {
      const MutexLock lock(mutex_);
      for (const auto& [id, connected] : connected_) {
        if (connected.info.name() == mentor::LearnerName(uid)) others.push_back(connected.stream);
      }
    }
    for (const auto& other : others) {
      other->Close(MakeError(absl::StatusCode::kAlreadyExists, Reason::kProtocolViolation,
                             "another connection has the same peer_uid"));
    }
  }

  // The learner's CPU must compute the same bits as this process, whatever its device: every
  // learner does part of its arithmetic on the CPU. KeepArithmetic handles devices by experiment.
  absl::Status CheckArithmetic(const v1::Hello& hello) const {
    if (hello.device().empty())
      return BrokenRule("hello.device: is missing; a learner says what it computes with");
    const bool cpu = hello.device() == "cpu";
    const std::string& got = cpu ? hello.numeric_fingerprint() : hello.cpu_fingerprint();
    if (got == options_.learner_fingerprint) return absl::OkStatus();
    return MakeError(
        Reason::kNumericMismatch,
        absl::StrFormat("the arithmetic of the learner's CPU differs in its last bits (fingerprint "
                        "%s, device '%s', build %s; expected %s, build %s): install the same "
                        "build there",
                        got.empty() ? "not said" : got, hello.device(), hello.build(),
                        options_.learner_fingerprint, std::string(kBuildVersion)),
        {{"expected", options_.learner_fingerprint}, {"got", got}});
  }

  // A device that gives the same bits as the CPU counts as a CPU.
  static std::string ArithmeticOf(const v1::Hello& hello) {
    const bool as_cpu = hello.numeric_fingerprint() == hello.cpu_fingerprint();
    return absl::StrCat(as_cpu ? "cpu" : hello.device(), " ", hello.numeric_fingerprint());
  }

  absl::Status AcceptHello(const std::shared_ptr<Peer>& peer, const v1::RunRequest& message) {
    if (!message.has_hello()) return BrokenRule("the first message must be hello");
    const v1::Hello& hello = message.hello();
    MENTOR_RETURN_IF_ERROR(CheckHello(hello));
    peer->name = absl::StrCat(hello.host(), "/", hello.peer_uid());
    MENTOR_RETURN_IF_ERROR(CheckArithmetic(hello));
    if (hello.shard_slots() < 1 || hello.shard_slots() > 256) {
      return BrokenRule(
          absl::StrFormat("hello: %d shard slots, 1 to 256 are allowed", hello.shard_slots()));
    }
    const MutexLock one_at_a_time(hello_mutex_);
    EndOthersOf(hello.peer_uid());
    v1::RunResponse answer;
    v1::Welcome& welcome = *answer.mutable_welcome();
    welcome.set_server_uid(server_uid_);
    welcome.set_stream_uid(NewUuid());
    welcome.set_heartbeat_ms(static_cast<uint32_t>(stream_.heartbeat.count()));
    welcome.set_dead_after_ms(static_cast<uint32_t>(stream_.dead_after.count()));
    welcome.set_catalogue_hash(options_.catalogue_hash);
    welcome.set_numeric_fingerprint(options_.actor_fingerprint);
    peer->stream->Send(std::move(answer));
    peer->learner = board_->AddLearner({.slots = hello.shard_slots(),
                                        .name = peer->name,
                                        .host = hello.host(),
                                        .arithmetic = ArithmeticOf(hello),
                                        .memory_bytes = hello.memory_bytes(),
                                        .threads = hello.threads(),
                                        .has_device = hello.device() != "cpu",
                                        .device_in_memory = hello.device_in_memory(),
                                        .device_memory_bytes = hello.device_memory_bytes()},
                                       [stream = peer->stream](v1::RunResponse response) {
                                         return stream->Send(std::move(response));
                                       });
    learners_.Increment();
    Connected connected{.info = {}, .stream = peer->stream, .actors = {}};
    connected.info.set_name(mentor::LearnerName(hello.peer_uid()));
    connected.info.set_host(hello.host());
    connected.info.set_build(hello.build());
    connected.info.set_threads(hello.threads());
    connected.info.set_shard_slots(hello.shard_slots());
    connected.info.set_catalogue_hash(hello.catalogue_hash());
    connected.info.set_arithmetic(ArithmeticOf(hello));
    connected.info.set_memory_bytes(hello.memory_bytes());
    connected.info.set_device_memory_bytes(hello.device_memory_bytes());
    *connected.info.mutable_connect_time() = TimeUtil::GetCurrentTime();
    {
      const MutexLock lock(mutex_);
      connected_[*peer->learner] = std::move(connected);
    }
    MENTOR_LOG(
        kInfo, "learner connected",
        {{"learner", peer->name}, {"device", hello.device()}, {"slots", hello.shard_slots()}});
    return absl::OkStatus();
  }

  const Options options_;
  ShardBoard* const board_;
  const std::string server_uid_;
  prometheus::Gauge& learners_;
  prometheus::Counter& segments_;
  prometheus::Counter& rejected_;
  prometheus::Counter& ingest_seconds_;
  prometheus::Gauge& device_lost_;
  const rpc::StreamOptions stream_;
  // Serialises Hellos, so that of two learners with one uid one ends. Acquired before mutex_.
  Mutex hello_mutex_;
  // Guarded by mutex_.
  mutable Mutex mutex_;
  std::map<ShardBoard::LearnerId, Connected> connected_ ABSL_GUARDED_BY(mutex_);
  std::map<const Peer*, std::shared_ptr<Peer>> open_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  rpc::BundleServer bundles_;
  // Last member, so that its threads stop first.
  rpc::Executor ingest_;
};

prometheus::Gauge& DeviceLostGauge(Metrics* metrics, const char* whose) {
  return metrics->Gauge("mentor_meta_device_lost_timestamp_seconds",
                        "When a device last failed, of a learner or of the meta-learner; 0: never.",
                        {{"of", whose}});
}

ShardService::ShardService(Options options, ShardBoard* board, Metrics* metrics)
    : impl_(std::make_unique<Impl>(std::move(options), board, metrics)) {}

ShardService::~ShardService() = default;

grpc::Service* ShardService::service() {
  return impl_.get();
}

std::vector<v1::ShardInfo> ShardService::Shards(const std::string& experiment) const {
  return impl_->Shards(experiment);
}

std::vector<v1::Peer> ShardService::Peers() const {
  return impl_->Peers();
}

absl::Status ShardService::Drain(const std::string& peer) {
  return impl_->Drain(peer);
}

void ShardService::Stop() {
  impl_->Stop();
}

}  // namespace mentor::meta_learner
