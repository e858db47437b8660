// The meta-learner's end of learners' streams, which a test plays.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "common/rpc/server.h"
#include "common/rpc/stream.h"
#include "mentor/v1/shard_service.grpc.pb.h"
#include "tests/mailbox.h"
#include "tests/testing.h"

namespace mentor::testing {

// The meta-learner's end: every connection, and its messages.
class FakeMetaLearner : public v1::ShardService::CallbackService {
 public:
  using ServerStream = rpc::ServerStream<v1::RunResponse, v1::RunRequest>;
  struct Peer {
    std::shared_ptr<ServerStream> stream;
    Mailbox<v1::RunRequest> messages;  // But progress and reports of the fleet.
    Mailbox<v1::ShardProgress> progress;
    Mailbox<absl::Status> end;
    std::atomic<int> dones = 0;  // Shards whose end has arrived.

    void Send(v1::RunResponse message) { stream->Send(std::move(message)); }
    void Give(const v1::Shard& shard) {
      v1::RunResponse message;
      *message.mutable_shard() = shard;
      Send(std::move(message));
    }
    void Acknowledge(uint64_t shard, uint32_t iteration) {
      v1::RunResponse message;
      message.mutable_ack()->set_shard_id(shard);
      message.mutable_ack()->set_iteration(iteration);
      Send(std::move(message));
    }
    v1::Segment PopSegment() {
      v1::RunRequest message = messages.Pop();
      INFO(message.ShortDebugString().substr(0, 200));
      REQUIRE(message.has_segment());
      return std::move(*message.mutable_segment());
    }
    v1::ShardDone PopDone() {
      v1::RunRequest message = messages.Pop();
      INFO(message.ShortDebugString().substr(0, 200));
      REQUIRE(message.has_shard_done());
      return std::move(*message.mutable_shard_done());
    }
  };

  FakeMetaLearner() {
    auto started = rpc::Server::Start({.address = ""}, {this});
    REQUIRE(started.ok());
    server_ = *std::move(started);
  }
  ~FakeMetaLearner() override {
    for (const std::shared_ptr<Peer>& peer : all_)
      peer->stream->Close(absl::UnavailableError("test over"));
    server_->Shutdown(std::chrono::seconds(5));
  }

  grpc::ServerBidiReactor<v1::RunRequest, v1::RunResponse>* Run(
      grpc::CallbackServerContext* context) override {
    auto peer = std::make_shared<Peer>();
    peer->stream = ServerStream::Make(context, {});
    peer->stream->Start({.on_message =
                             [peer](v1::RunRequest message) {
                               if (message.has_shard_done()) ++peer->dones;
                               if (message.has_progress()) {
                                 peer->progress.Push(std::move(*message.mutable_progress()));
                               } else if (!message.has_fleet()) {
                                 peer->messages.Push(std::move(message));
                               }
                             },
                         .on_closed = [peer](const absl::Status& end) { peer->end.Push(end); }});
    ServerStream* const stream = peer->stream.get();
    arrived_.Push(peer);
    return stream->reactor();
  }

  // Returns the next connection, after its hello and our welcome.
  std::shared_ptr<Peer> Welcome(const v1::Welcome& welcome = {}) {
    std::shared_ptr<Peer> peer = arrived_.Pop();
    all_.push_back(peer);
    const v1::RunRequest first = peer->messages.Pop();
    REQUIRE(first.has_hello());
    hello_ = first.hello();
    v1::RunResponse message;
    *message.mutable_welcome() = welcome;
    peer->Send(std::move(message));
    return peer;
  }
  const v1::Hello& hello() const { return hello_; }
  // Connections without a welcome so far.
  size_t waiting() const { return arrived_.size(); }
  std::shared_ptr<grpc::Channel> Channel() { return server_->InProcessChannel(); }

 private:
  std::unique_ptr<rpc::Server> server_;
  Mailbox<std::shared_ptr<Peer>> arrived_;
  std::vector<std::shared_ptr<Peer>> all_;
  v1::Hello hello_;
};

}  // namespace mentor::testing
