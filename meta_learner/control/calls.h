// From a call of gRPC to its answer, the same way for every method of the control API: the caller's
// rate is checked, the work waits in one bounded line for a thread that may look at the disk, and a
// status becomes gRPC's. Streams are produced one message at a time (streams.h). Not for who may
// call what, which is decided before a call arrives here (common/rpc/auth.h), nor for what a method
// does. Owned by the service. Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <grpcpp/support/server_callback.h>

#include "common/check.h"
#include "common/rpc/auth.h"
#include "common/rpc/rate_limit.h"
#include "common/rpc/status.h"
#include "meta_learner/control/executor.h"
#include "meta_learner/control/service_options.h"
#include "meta_learner/control/streams.h"

namespace mentor::meta_learner {

// What callers are told while the meta-learner stops.
absl::Status Draining();

class Calls {
 public:
  using Caller = rpc::Caller;

  explicit Calls(const ServiceOptions& options);

  // `answer` is called with request and caller, and returns StatusOr<Response>.
  template <typename Request, typename Response, typename Answer>
  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Request* request,
                                  Response* response, Answer answer) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    Post(context, reactor,
         [reactor, request, response, answer = std::move(answer)](const Caller& caller) {
           absl::StatusOr<Response> made = answer(*request, caller);
           if (made.ok()) *response = std::move(*made);
           reactor->Finish(rpc::ToGrpc(made.status()));
         });
    return reactor;
  }
  // The work of a call, which finishes it, unless its caller makes too many or the line is full:
  // then its end.
  void Post(grpc::CallbackServerContext* context, grpc::ServerUnaryReactor* reactor,
            std::function<void(const Caller&)> work);

  // `open` looks into the store, so it runs as the first piece of work of the stream.
  template <typename Response>
  using Open = std::function<absl::StatusOr<typename PullStream<Response>::Produce>()>;
  template <typename Response>
  grpc::ServerWriteReactor<Response>* Stream(grpc::CallbackServerContext* context,
                                             Open<Response> open) {
    const Caller caller = rpc::CallerOf(*context);
    auto* reactor =
        PullStream<Response>::Start(streams_, &executor_, caller.name,
                                    [admitted = limiter_.Admit(caller.name), open = std::move(open),
                                     produce = typename PullStream<Response>::Produce()](
                                        Response* response) mutable -> absl::StatusOr<Produced> {
                                      if (!produce) {
                                        MENTOR_RETURN_IF_ERROR(admitted);
                                        MENTOR_ASSIGN_OR_RETURN(produce, open());
                                      }
                                      return produce(response);
                                    });
    return reactor;
  }

  // The service's own work, whose amount is bounded by other means.
  void PostAlways(std::function<void()> task) { executor_.PostAlways(std::move(task)); }
  // Something changed, or time has passed: streams may have more to say.
  void PokeStreams() { streams_->PokeAll(); }
  size_t num_streams() const { return streams_->size(); }

  // From now on, calls that find no place are told DRAINING.
  void BeginStop() { stopping_ = true; }
  // Ends streams, does what is in line, and takes no more. After BeginStop; not from a call.
  void Stop();

 private:
  absl::Status WhyNotPosted() const;

  // Fixed after construction; they look after their own locking.
  const size_t calls_waiting_max_;
  std::atomic<bool> stopping_ = false;
  const std::shared_ptr<StreamRegistry> streams_;
  rpc::RateLimiter limiter_;
  // Last, so that it stops first.
  Executor executor_;
};

}  // namespace mentor::meta_learner
