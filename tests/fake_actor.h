// An actor that a test plays, message by message, for learners of catalogue "c" and fingerprint
// "n".
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <grpcpp/grpcpp.h>

#include "common/protocol.h"
#include "common/rpc/grpc_status.h"
#include "mentor/v1/rollout_service.grpc.pb.h"
#include "tests/learner_side.h"
#include "tests/testing.h"

namespace mentor::testing {

inline v1::WorkRequest GoodHello() {
  v1::WorkRequest message;
  *message.mutable_hello() = NewHello();
  message.mutable_hello()->set_threads(1);
  message.mutable_hello()->set_catalogue_hash("c");
  message.mutable_hello()->set_numeric_fingerprint("n");
  return message;
}

inline v1::WorkRequest CreditOf(uint32_t units) {
  v1::WorkRequest message;
  message.mutable_credit()->set_units(units);
  return message;
}

// A raw stub, without the manners of rpc::Stream.
struct FakeActor {
  explicit FakeActor(const LearnerSide& learner)
      : channel(learner.Tcp()),
        stub(v1::RolloutService::NewStub(channel)),
        stream(stub->Work(&context)) {
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
  }
  ~FakeActor() {
    context.TryCancel();
    if (!finished) static_cast<void>(Finish());
  }
  // The next message that is no heartbeat.
  std::optional<v1::WorkResponse> Read() {
    v1::WorkResponse message;
    while (stream->Read(&message)) {
      if (!message.has_heartbeat()) return message;
    }
    return std::nullopt;
  }
  void Join(uint32_t credit = 4) {
    stream->Write(GoodHello());
    const auto welcome = Read();
    REQUIRE((welcome && welcome->has_welcome()));
    CHECK(welcome->welcome().dead_after_ms() == 5000);
    stream->Write(CreditOf(credit));
  }
  // How the learner ended the stream.
  absl::Status Finish() {
    finished = true;
    while (Read()) {
    }
    return rpc::FromGrpc(stream->Finish());
  }

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::RolloutService::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkRequest, v1::WorkResponse>> stream;
  bool finished = false;
};

}  // namespace mentor::testing
