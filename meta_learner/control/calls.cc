#include "meta_learner/control/calls.h"

#include <chrono>

#include <absl/strings/str_format.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include "common/status.h"
#include "mentor/v1/access.pb.h"

namespace mentor::meta_learner {
namespace {

constexpr int kThreads = 3;
constexpr int kHeavyThreads = 3;
constexpr int kSlowThreads = 6;  // These threads mostly wait for compilers, of which there are few.
constexpr int kFileThreads = 4;  // These threads mostly wait.
// Running calls and streams of one caller, in each line.
constexpr int kPerCallerMax = 2;
// CPU time of one call for drawing tasks.
constexpr double kCpuSecondsMax = 60;
// CPU time of one call for compiling a model: what takes longer delays every check of its spec.
constexpr int kCompilerSecondsMax = 10;
// Retry delay for callers where waiting helps, since the line moves.
constexpr auto kRetrySoon = std::chrono::seconds(1);

}  // namespace

absl::Status MayAnswer(const ServiceOptions& options,
                       const google::protobuf::MethodDescriptor& method) {
  if (!options.read_only.empty()) {
    return method.options().GetExtension(v1::required_role) == v1::ROLE_VIEWER
               ? absl::OkStatus()
               : absl::FailedPreconditionError(options.read_only);
  }
  if (method.options().GetExtension(v1::standby_answers)) return absl::OkStatus();
  return options.refusal ? options.refusal() : options.store->Leads();
}

absl::Status Draining() {
  return WithRetryDelay(
      MakeError(Reason::kDraining, "the meta-learner is stopping; try again soon"), kRetrySoon);
}

Calls::Calls(const ServiceOptions& options)
    : calls_waiting_max_(options.calls_waiting_max),
      heavy_calls_waiting_max_(options.heavy_calls_waiting_max),
      streams_(
          std::make_shared<StreamRegistry>(options.streams_max, options.streams_per_caller_max)),
      limiter_(options.rate),
      light_(kThreads, options.calls_waiting_max, kPerCallerMax),
      slow_(kSlowThreads, options.heavy_calls_waiting_max, kPerCallerMax),
      heavy_(kHeavyThreads, options.heavy_calls_waiting_max, kPerCallerMax),
      files_(kFileThreads, options.calls_waiting_max, kPerCallerMax) {}

rpc::Executor& Calls::LineOf(Cost cost) {
  switch (cost) {
    case Cost::kHeavy:
      return heavy_;
    case Cost::kSlow:
      return slow_;
    case Cost::kFiles:
      return files_;
    default:
      return light_;
  }
}

Asker Calls::AskerOf(const Caller& caller) {
  return {.owner = caller.counted_as(), .program_cpu_seconds = kCompilerSecondsMax};
}

BoundedTurn::Options Calls::TurnOptions(const Cancel* cancelled) const {
  return {.ends = [this, cancelled]() -> absl::Status {
            if (stopping_) return Draining();
            return *cancelled ? absl::CancelledError("the caller has gone") : absl::OkStatus();
          },
          .cpu_seconds = kCpuSecondsMax,
          .remedy = "give fewer tasks, or ranges and a parameter_condition that refuse less"};
}

absl::Status Calls::CheckLength(const grpc::ByteBuffer& received) {
  if (received.Length() <= kRequestBytesMax) return absl::OkStatus();
  return MakeError(Reason::kMessageTooLong,
                   absl::StrFormat("the request has %d bytes; give at most %d", received.Length(),
                                   kRequestBytesMax));
}

absl::Status Calls::ReadRequest(const grpc::ByteBuffer& received,
                                google::protobuf::Message* request) {
  grpc::ByteBuffer bytes = received;  // Shares the slices; the reader modifies its buffer.
  grpc::ProtoBufferReader reader(&bytes);
  if (!reader.status().ok() || !request->ParseFromZeroCopyStream(&reader)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the request is not a %s; use a client of this version",
                        std::string(request->GetDescriptor()->full_name())));
  }
  // Refuse thousands of empty entries, which later steps would copy.
  if (const size_t memory = request->SpaceUsedLong(); memory > kRequestMemoryMax) {
    return MakeError(
        Reason::kMessageTooLong,
        absl::StrFormat("the request takes %d bytes of memory, at most %d are allowed; "
                        "give fewer entries",
                        memory, kRequestMemoryMax));
  }
  return absl::OkStatus();
}

absl::Status Calls::Enqueue(Cost cost, const Caller& caller, std::function<void()> task) {
  const bool heavy = cost == Cost::kHeavy || cost == Cost::kSlow;
  if (LineOf(cost).Post(std::move(task), caller.counted_as())) return absl::OkStatus();
  if (stopping_) return Draining();
  return WithRetryDelay(
      MakeError(Reason::kQueueFull,
                absl::StrFormat("%d calls%s wait already; try again soon",
                                heavy ? heavy_calls_waiting_max_ : calls_waiting_max_,
                                heavy ? " that check specs" : "")),
      kRetrySoon);
}

void Calls::Stop() {
  streams_->Stop(Draining());
  heavy_.Stop();
  slow_.Stop();  // After heavy_, which queues calls here.
  files_.Stop();
  light_.Stop();
}

}  // namespace mentor::meta_learner
