// From a call of gRPC to its answer, the same way for every method of the control API: the length
// of the request and the caller's rate are checked, the work waits in a bounded line for a thread
// that may look at the disk, and a status becomes gRPC's. Requests come as bytes and become
// messages only on that thread: a message takes up to a hundred times its bytes. What makes the
// parts of a spec has threads and a line of its own, and so has what compiles somebody's model, and
// what waits for a bucket or reads whole files, so that everything else goes on meanwhile. In these
// lines one caller leaves threads to others.
// What draws tasks ends when its caller has gone, and has a limit of processor time.
// Streams are produced one message at a time (streams.h). Not for who may call what, which is
// decided before a call arrives here (common/rpc/auth.h), nor for what a method does. Owned by the
// service. Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "common/check.h"
#include "common/pause_point.h"
#include "common/rpc/auth.h"
#include "common/rpc/rate_limit.h"
#include "common/rpc/status.h"
#include "common/spec/bundles.h"
#include "common/spec/spec.h"
#include "meta_learner/control/executor.h"
#include "meta_learner/control/service_options.h"
#include "meta_learner/control/streams.h"

namespace mentor::meta_learner {

// A spec and what travels with it. Longer requests are refused before they are read.
inline constexpr size_t kRequestBytesMax = kSpecBytesMax + (256 << 10);
// What one may take in memory once it is read.
inline constexpr size_t kRequestMemoryMax = 64 << 20;

// Whether what a call asks for may wait for a bundle, or compile it, for a minute.
template <typename Request>
bool NamesBundles(const Request& request) {
  if constexpr (requires { request.experiment().spec(); }) {
    return !BundlesOf(request.experiment().spec()).empty();
  } else if constexpr (requires { request.benchmark(); }) {
    v1::ExperimentSpec spec;
    *spec.mutable_benchmark() = request.benchmark();
    return !BundlesOf(spec).empty();
  }
  return false;
}

// What callers are told while the meta-learner stops.
absl::Status Draining();

class Calls {
 public:
  using Caller = rpc::Caller;
  // Light calls look into the store. Heavy ones make the parts of specs, and become slow ones when
  // these name bundles. Slow ones wait for a bucket besides, and those for files for nothing else.
  enum class Cost { kLight, kHeavy, kSlow, kFiles };
  // True when the caller has gone: nobody waits for the answer any more.
  using Cancel = std::atomic<bool>;

  explicit Calls(const ServiceOptions& options);

  // `answer` is called with request, caller and Cancel*, and returns StatusOr<Response>.
  template <typename Request, typename Response, typename Answer>
  grpc::ServerUnaryReactor* Unary(Cost cost, grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer& received, Response* response,
                                  Answer answer) {
    auto* reactor = new Reactor;  // Goes in its OnDone.
    Post<Request>(cost, context, reactor, received,
                  [this, reactor, response, answer = std::move(answer)](const Request& request,
                                                                        const Caller& caller) {
                    BoundedTurn turn(TurnOptions(&reactor->cancelled));
                    const TurnScope scope(&turn);
                    absl::StatusOr<Response> made = answer(request, caller, &reactor->cancelled);
                    // Then nothing is wrong with the request.
                    if (!made.ok() && turn.was_told()) made = turn.Continue();
                    if (made.ok()) *response = std::move(*made);
                    reactor->Finish(rpc::ToGrpc(made.status()));
                  });
    return reactor;
  }
  // `work` of a call, a function of request and caller, finishes it, unless the request is too
  // long, its caller makes too many or the line is full: then its end. So does a caller that has
  // gone before it is its turn.
  template <typename Request, typename Work>
  void Post(Cost cost, grpc::CallbackServerContext* context, grpc::ServerUnaryReactor* reactor,
            const grpc::ByteBuffer& received, Work work) {
    const Caller caller = rpc::CallerOf(*context);
    absl::Status posted = limiter_.Admit(caller.counted_as());
    posted.Update(CheckLength(received));
    if (posted.ok()) posted = Enqueue<Request>(cost, context, reactor, received, caller, work);
    if (!posted.ok()) reactor->Finish(rpc::ToGrpc(posted));
  }

  // `open` makes of a request what produces the messages. It looks into the store, so it runs as
  // the first piece of work of the stream. It gets a Cancel* too.
  template <typename Request, typename Response, typename Open>
  grpc::ServerWriteReactor<Response>* Stream(Cost cost, grpc::CallbackServerContext* context,
                                             const grpc::ByteBuffer& received, Open open) {
    const Caller caller = rpc::CallerOf(*context);
    absl::Status admitted = limiter_.Admit(caller.counted_as());
    admitted.Update(CheckLength(received));
    // What a stream that has not begun holds is a request of legal length.
    grpc::ByteBuffer kept = admitted.ok() ? received : grpc::ByteBuffer();
    const auto cancel = std::make_shared<Cancel>(false);
    return PullStream<Response>::Start(
        streams_, &LineOf(cost), caller.counted_as(), TurnOf(cost, caller), cancel,
        [admitted, cancel, kept = std::move(kept), open = std::move(open),
         produce = typename PullStream<Response>::Produce()](
            Response* response) mutable -> absl::StatusOr<Produced> {
          if (!produce) {
            MENTOR_RETURN_IF_ERROR(admitted);
            Request request;
            MENTOR_RETURN_IF_ERROR(ReadRequest(kept, &request));
            kept.Clear();
            MENTOR_ASSIGN_OR_RETURN(produce, open(request, cancel.get()));
          }
          return produce(response);
        });
  }

  // The service's own work, whose amount is bounded by other means.
  void PostAlways(std::function<void()> task) { light_.PostAlways(std::move(task)); }
  // Something changed, or time has passed: streams may have more to say.
  void PokeStreams() { streams_->PokeAll(); }
  size_t num_streams() const { return streams_->size(); }

  // From now on, calls that find no place are told DRAINING.
  void BeginStop() { stopping_ = true; }
  // Ends streams, does what is in line, and takes no more. After BeginStop; not from a call.
  void Stop();

 private:
  // Hears of a caller that goes while its call is at work.
  struct Reactor final : public grpc::ServerUnaryReactor {
    void OnCancel() override { cancelled = true; }
    void OnDone() override { delete this; }
    Cancel cancelled = false;
  };

  Executor& LineOf(Cost cost);
  // Light ones are done in the order in which they came, streams among them.
  static std::string TurnOf(Cost cost, const Caller& caller) {
    return cost == Cost::kLight ? "" : caller.counted_as();
  }
  // What a call may take of its thread, for what has pause points.
  BoundedTurn::Options TurnOptions(const Cancel* cancelled) const;
  static absl::Status CheckLength(const grpc::ByteBuffer& received);
  static absl::Status ReadRequest(const grpc::ByteBuffer& received,
                                  google::protobuf::Message* request);
  absl::Status Enqueue(Cost cost, const Caller& caller, std::function<void()> task);
  template <typename Request, typename Work>
  absl::Status Enqueue(Cost cost, grpc::CallbackServerContext* context,
                       grpc::ServerUnaryReactor* reactor, const grpc::ByteBuffer& received,
                       const Caller& caller, Work work) {
    return Enqueue(cost, caller, [this, cost, context, reactor, received, caller, work] {
      if (context->IsCancelled()) return reactor->Finish(grpc::Status::CANCELLED);
      Request request;
      absl::Status status = ReadRequest(received, &request);
      if (status.ok() && (cost != Cost::kHeavy || !NamesBundles(request)))
        return work(request, caller);
      // As bytes again, since lines are long.
      if (status.ok())
        status = Enqueue<Request>(Cost::kSlow, context, reactor, received, caller, work);
      if (!status.ok()) reactor->Finish(rpc::ToGrpc(status));
    });
  }

  // Fixed after construction; they look after their own locking.
  const size_t calls_waiting_max_, heavy_calls_waiting_max_;
  std::atomic<bool> stopping_ = false;
  const std::shared_ptr<StreamRegistry> streams_;
  rpc::RateLimiter limiter_;
  // Last, so that they stop first; slow_ after heavy_, which puts calls there.
  Executor light_, slow_, heavy_, files_;
};

}  // namespace mentor::meta_learner
