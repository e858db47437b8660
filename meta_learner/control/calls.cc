#include "meta_learner/control/calls.h"

#include <chrono>

#include <absl/strings/str_format.h>

#include "common/status.h"

namespace mentor::meta_learner {
namespace {

constexpr int kThreads = 2;
// What callers are told where waiting helps: the line moves.
constexpr auto kRetrySoon = std::chrono::seconds(1);

}  // namespace

absl::Status Draining() {
  return WithRetryDelay(MakeError(absl::StatusCode::kUnavailable, Reason::kDraining,
                                  "the meta-learner is stopping; try again soon"),
                        kRetrySoon);
}

Calls::Calls(const ServiceOptions& options)
    : calls_waiting_max_(options.calls_waiting_max),
      streams_(
          std::make_shared<StreamRegistry>(options.streams_max, options.streams_per_caller_max)),
      limiter_(options.rate),
      executor_(kThreads, options.calls_waiting_max) {}

void Calls::Post(grpc::CallbackServerContext* context, grpc::ServerUnaryReactor* reactor,
                 std::function<void(const Caller&)> work) {
  Caller caller = rpc::CallerOf(*context);
  if (const absl::Status admitted = limiter_.Admit(caller.name); !admitted.ok()) {
    reactor->Finish(rpc::ToGrpc(admitted));
    return;
  }
  const bool posted =
      executor_.Post([work = std::move(work), caller = std::move(caller)] { work(caller); });
  if (!posted) reactor->Finish(rpc::ToGrpc(WhyNotPosted()));
}

absl::Status Calls::WhyNotPosted() const {
  if (stopping_) return Draining();
  return WithRetryDelay(
      MakeError(absl::StatusCode::kResourceExhausted, Reason::kQueueFull,
                absl::StrFormat("%d calls wait already; try again soon", calls_waiting_max_)),
      kRetrySoon);
}

void Calls::Stop() {
  streams_->Stop(Draining());
  executor_.Stop();
}

}  // namespace mentor::meta_learner
