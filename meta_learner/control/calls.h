// Handles gRPC calls the same way for every method of the control API. Checks the length of the
// request and the caller's rate, queues the work in a bounded line, and converts the status to
// gRPC. Work runs on threads that may block on the disk. Requests arrive as bytes and are parsed
// only on such a thread: a message takes up to a hundred times its bytes. Three kinds of slow work
// have their own lines and threads, so that they do not delay other calls. These are reading a spec
// or making its parts, compiling a user's model, and waiting for a bucket or reading whole files.
// In each line callers take turns, and one caller cannot take all threads. Drawing tasks ends when
// the caller has gone, and has a limit of processor time. Streams are produced one message at a
// time (streams.h). Access is decided before a call arrives here (common/rpc/auth.h). Owned by the
// service. Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "common/check.h"
#include "common/history.h"
#include "common/pause_point.h"
#include "common/resources/states.h"
#include "common/rpc/auth.h"
#include "common/rpc/executor.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/rate_limit.h"
#include "common/spec/named_bundles.h"
#include "common/spec/spec.h"
#include "mentor/v1/experiment.pb.h"
#include "meta_learner/control/service_options.h"
#include "meta_learner/control/streams.h"

namespace mentor::meta_learner {

// Bytes of a spec and its request. Longer requests are refused before they are parsed.
inline constexpr size_t kRequestBytesMax = kSpecBytesMax + (256 << 10);
// Bytes of memory that a parsed request may take.
inline constexpr size_t kRequestMemoryMax = 64 << 20;

// True if the request names bundles: then the call may wait for or compile a bundle for a minute.
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

// Returns OK if this process may answer the method, else the error for the caller.
absl::Status MayAnswer(const ServiceOptions& options,
                       const google::protobuf::MethodDescriptor& method);
// Returns the error for callers while the meta-learner stops.
absl::Status Draining();

class Calls {
 public:
  using Caller = rpc::Caller;
  // Light calls read or write the store. Heavy calls read specs or make their parts, and become
  // slow ones when a spec names bundles. Slow calls may also wait for a bucket. File calls only
  // wait for a bucket or read files.
  enum class Cost { kLight, kHeavy, kSlow, kFiles };
  // True when the caller has gone and does not wait for the answer.
  using Cancel = std::atomic<bool>;

  explicit Calls(const ServiceOptions& options);

  // `answer` is called with request, caller and Cancel*, and returns StatusOr<Response>.
  template <typename Request, typename Response, typename Answer>
  grpc::ServerUnaryReactor* Unary(Cost cost, grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer& received, Response* response,
                                  Answer answer) {
    auto* reactor = new Reactor;  // Deleted in OnDone.
    Post<Request>(cost, context, reactor, received,
                  [this, reactor, response, answer = std::move(answer)](const Request& request,
                                                                        const Caller& caller) {
                    BoundedTurn turn(TurnOptions(&reactor->cancelled));
                    const TurnScope scope(&turn);
                    const AskerScope asker(AskerOf(caller));
                    absl::StatusOr<Response> made = answer(request, caller, &reactor->cancelled);
                    // The turn was interrupted, so the request is not at fault: report why the turn
                    // ended.
                    if (!made.ok() && turn.was_told()) made = turn.Continue();
                    if (made.ok()) *response = std::move(*made);
                    reactor->Finish(rpc::ToGrpc(made.status()));
                  });
    return reactor;
  }
  // Queues `work`, a function of request and caller, which must finish the call. Finishes the call
  // with an error if the request is too long, the caller exceeds its rate or the line is full. Also
  // finishes it if the caller has gone before its turn.
  template <typename Request, typename Work>
  void Post(Cost cost, grpc::CallbackServerContext* context, grpc::ServerUnaryReactor* reactor,
            const grpc::ByteBuffer& received, Work work) {
    const Caller caller = rpc::CallerOf(*context);
    absl::Status posted = limiter_.Admit(caller.counted_as());
    posted.Update(CheckLength(received));
    if (posted.ok()) posted = Enqueue<Request>(cost, context, reactor, received, caller, work);
    if (!posted.ok()) reactor->Finish(rpc::ToGrpc(posted));
  }

  // `open` takes the request and a Cancel*, and returns the function that produces the messages. It
  // may read the store, so it runs as the first piece of work of the stream.
  template <typename Request, typename Response, typename Open>
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Stream(Cost cost,
                                                     grpc::CallbackServerContext* context,
                                                     const grpc::ByteBuffer& received, Open open) {
    const Caller caller = rpc::CallerOf(*context);
    absl::Status admitted = limiter_.Admit(caller.counted_as());
    admitted.Update(CheckLength(received));
    // A stream that has not begun keeps only a request of legal length.
    grpc::ByteBuffer kept = admitted.ok() ? received : grpc::ByteBuffer();
    const auto cancel = std::make_shared<Cancel>(false);
    return PullStream<Response>::Start(
        streams_, &LineOf(cost), caller.counted_as(), cancel,
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

  // Runs the service's own work, whose amount is bounded by other means.
  void PostAlways(std::function<void()> task) { light_.PostAlways(std::move(task)); }
  // Makes all streams look for more messages. Call after changes and from time to time.
  void PokeStreams() { streams_->PokeAll(); }
  size_t num_streams() const { return streams_->size(); }

  // From now on, calls that find no place get DRAINING.
  void BeginStop() { stopping_ = true; }
  // Ends streams, finishes queued calls, and takes no more. Call after BeginStop, not from a call.
  void Stop();

 private:
  // Notices a caller that goes while its call runs.
  struct Reactor final : public grpc::ServerUnaryReactor {
    void OnCancel() override { cancelled = true; }
    void OnDone() override { delete this; }
    Cancel cancelled = false;
  };

  rpc::Executor& LineOf(Cost cost);
  static Asker AskerOf(const Caller& caller);
  // Limits of a call on its thread, checked at pause points.
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
      // Queue the bytes again, since a line of parsed messages would take much memory.
      if (status.ok())
        status = Enqueue<Request>(Cost::kSlow, context, reactor, received, caller, work);
      if (!status.ok()) reactor->Finish(rpc::ToGrpc(status));
    });
  }

  // Fixed after construction; the objects do their own locking.
  const size_t calls_waiting_max_, heavy_calls_waiting_max_;
  std::atomic<bool> stopping_ = false;
  const std::shared_ptr<StreamRegistry> streams_;
  rpc::RateLimiter limiter_;
  // Last members, so that they stop first. heavy_ must stop before slow_, since heavy_ queues calls
  // in slow_.
  rpc::Executor light_, slow_, heavy_, files_;
};

// ---- Audit log (audit.cc): one line for each change that a caller asked for, done or refused. The
// logger is "audit", so that these lines can be collected separately (docs/security.md#audit).
// Excludes what the service does by itself, and calls refused before a service saw them.

// `object` is the name of the resource to change; empty if the call had to make the name.
void Audit(const rpc::Caller& caller, std::string_view method, std::string_view object,
           const absl::Status& outcome);

// Audits a call by its answer, and returns the answer. If the answer has a name, that name is the
// object.
template <typename Response>
absl::StatusOr<Response> Audited(const rpc::Caller& caller, std::string_view method,
                                 std::string_view object, absl::StatusOr<Response> answer) {
  if constexpr (requires(const Response& made) { made.name(); }) {
    if (answer.ok()) object = answer->name();
  }
  Audit(caller, method, object, answer.status());
  if constexpr (std::is_same_v<Response, v1::Experiment>) {
    if (answer.ok()) {
      MENTOR_HISTORY("acknowledged", {{"method", method},
                                      {"experiment", answer->name()},
                                      {"uid", answer->uid()},
                                      {"etag", answer->etag()},
                                      {"state", StateText(answer->state())}});
    }
  }
  return answer;
}

}  // namespace mentor::meta_learner
