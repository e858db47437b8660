// Targets that need the services: the messages of a peer on its stream, one after another, and the
// requests of a viewer to the catalogue.
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <utility>
#include <vector>

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>

#include "actor/actor.h"
#include "common/check.h"
#include "common/metrics.h"
#include "common/protocol.h"
#include "common/rpc/server.h"
#include "common/rpc/stream.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "learner/rollout/rollout_server.h"
#include "mentor/v1/shard_service.grpc.pb.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/fleet/shard_service.h"
#include "tests/fuzz/targets.h"
#include "tests/small_shards.h"
#include "tests/units.h"

namespace mentor::fuzz {
namespace {

// A stream costs a few milliseconds.
constexpr uint32_t kStreams = 300;
constexpr std::chrono::seconds kPatience{60};

// Reads messages with their lengths before them, up to the first invalid one.
template <typename Message>
std::vector<Message> Sequence(std::string_view bytes) {
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()));
  std::vector<Message> messages;
  Message message;
  while (google::protobuf::util::ParseDelimitedFromZeroCopyStream(&message, &stream, nullptr)) {
    messages.push_back(message);
    message.Clear();
  }
  return messages;
}

// Sends all this on a stream, closes its side and waits for the end. True if the other side
// accepted everything.
template <typename Request, typename Response, typename Stub, typename Call>
bool Say(Stub* stub, std::vector<Request> messages, Call call) {
  auto stream = rpc::ClientStream<Request, Response>::Make({});
  const auto end = std::make_shared<std::promise<absl::Status>>();
  stream->Start({.on_message = [](Response) {},
                 .on_closed = [end](const absl::Status& status) { end->set_value(status); }},
                [&](auto* context, auto* reactor) { call(stub, context, reactor); });
  for (Request& message : messages) {
    if (!stream->Send(std::move(message))) break;
  }
  stream->Close(absl::OkStatus());
  auto ended = end->get_future();
  MENTOR_CHECK(ended.wait_for(kPatience) == std::future_status::ready);
  return ended.get().ok();
}

// Whatever one actor sends, an honest one finishes the units.
const Register kWorkStream(
    "work_stream",
    [](std::string_view bytes) {
      const auto metrics = Metrics::Create();
      learner::RolloutServer rollout({.catalogue_hash = envs::CatalogueHash(),
                                      .numeric_fingerprint = envs::NumericFingerprint()},
                                     metrics.get());
      const auto server = rpc::Server::Start({.address = ""}, {rollout.service()});
      MENTOR_CHECK(server.ok());
      const std::atomic<bool> cancel = false;
      auto run = std::async(std::launch::async, [&] {
        return rollout.RunUnits({testing::PointReachUnit(0, 2), testing::PointReachUnit(1, 2)},
                                cancel);
      });
      const auto stub = v1::RolloutService::NewStub((*server)->InProcessChannel());
      std::vector<v1::WorkRequest> messages = Sequence<v1::WorkRequest>(bytes);
      for (v1::WorkRequest& message : messages) {
        // The corpus cannot know those of this machine.
        if (!message.has_hello() || message.hello().catalogue_hash() != "right") continue;
        message.mutable_hello()->set_catalogue_hash(envs::CatalogueHash());
        message.mutable_hello()->set_numeric_fingerprint(envs::NumericFingerprint());
      }
      const bool good = Say<v1::WorkRequest, v1::WorkResponse>(
          stub.get(), std::move(messages),
          [](auto* to, auto* context, auto* reactor) { to->async()->Work(context, reactor); });
      {
        actor::Actor honest({.channel = [&] { return (*server)->InProcessChannel(); }},
                            metrics.get());
        MENTOR_CHECK(run.wait_for(kPatience) == std::future_status::ready);
        const auto results = run.get();
        MENTOR_CHECK(results.ok() && results->size() == 2);
      }
      rollout.Stop();
      (*server)->Shutdown(std::chrono::milliseconds(2000));
      return good;
    },
    kStreams);

// Whatever one learner sends, another one finishes the shard.
const Register kRunStream(
    "run_stream",
    [](std::string_view bytes) {
      const auto metrics = Metrics::Create();
      meta_learner::ShardBoard board({});
      meta_learner::ShardService service(
          {.catalogue_hash = "", .actor_fingerprint = "", .learner_fingerprint = "bits"}, &board,
          metrics.get());
      const auto server = rpc::Server::Start({.address = ""}, {service.service()});
      MENTOR_CHECK(server.ok());
      const std::atomic<bool> cancel = false;
      auto run = std::async(std::launch::async, [&] {
        return board.Run({testing::OutcomesShard("experiments/a")}, {}, cancel, nullptr);
      });
      const auto stub = v1::ShardService::NewStub((*server)->InProcessChannel());
      const auto call = [](auto* to, auto* context, auto* reactor) {
        to->async()->Run(context, reactor);
      };
      const bool good =
          Say<v1::RunRequest, v1::RunResponse>(stub.get(), Sequence<v1::RunRequest>(bytes), call);

      auto honest = rpc::ClientStream<v1::RunRequest, v1::RunResponse>::Make({});
      std::promise<void> gone;
      honest->Start({.on_message =
                         [&honest](v1::RunResponse message) {
                           if (!message.has_shard()) return;
                           const v1::Segment segment =
                               testing::OutcomesSegment(message.shard(), 1.0);
                           v1::RunRequest answer, done;
                           *answer.mutable_segment() = segment;
                           *done.mutable_shard_done() = testing::DoneAfter(segment);
                           honest->Send(std::move(answer));
                           honest->Send(std::move(done));
                         },
                     .on_closed = [&gone](const absl::Status&) { gone.set_value(); }},
                    [&](auto* context, auto* reactor) { call(stub.get(), context, reactor); });
      v1::RunRequest hello;
      *hello.mutable_hello() = NewHello();
      hello.mutable_hello()->set_threads(1);
      hello.mutable_hello()->set_device("cpu");
      hello.mutable_hello()->set_numeric_fingerprint("bits");
      hello.mutable_hello()->set_shard_slots(1);
      honest->Send(std::move(hello));
      MENTOR_CHECK(run.wait_for(kPatience) == std::future_status::ready);
      MENTOR_CHECK(run.get().ok());
      honest->Close(absl::OkStatus());
      MENTOR_CHECK(gone.get_future().wait_for(kPatience) == std::future_status::ready);
      service.Stop();
      (*server)->Shutdown(std::chrono::milliseconds(2000));
      return good;
    },
    kStreams);

// Bounded in time and memory whatever is asked for: the whole list is walked where it is short.
const Register kListTasks(
    "list_tasks",
    [](std::string_view bytes) {
      v1::ListTasksRequest request;
      if (!Parse(bytes, &request)) return false;
      const auto tasks = meta_learner::ListTasks(request);
      if (!tasks.ok()) {
        MENTOR_CHECK(!tasks.status().message().empty());
        return false;
      }
      MENTOR_CHECK(tasks->tasks_size() <= tasks->total_size());
      if (tasks->next_page_token().empty()) return true;
      request.set_page_token(tasks->next_page_token());
      MENTOR_CHECK(meta_learner::ListTasks(request).ok());
      return true;
    },
    1000);

}  // namespace
}  // namespace mentor::fuzz
