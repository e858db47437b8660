#include "common/rpc/call_metrics.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/descriptor.h>

#include "common/mutex.h"

namespace mentor::rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

constexpr std::string_view kOwnPackage = "mentor.v1.";
// Methods of gRPC's own library, which does not link their protos.
constexpr std::string_view kLibraryMethods[] = {
    "grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
// Codes exported with 0 at a method's first use: success, and errors of the server.
constexpr grpc::StatusCode kShownCodes[] = {
    grpc::OK,        grpc::UNKNOWN,           grpc::INTERNAL,     grpc::UNAVAILABLE,
    grpc::DATA_LOSS, grpc::DEADLINE_EXCEEDED, grpc::UNIMPLEMENTED};

class Calls {
 public:
  Calls(Metrics* metrics, std::string method)
      : metrics_(metrics),
        method_(std::move(method)),
        started_(metrics->Counter("mentor_grpc_server_started_total", "Calls begun.",
                                  {{"method", method_}})),
        seconds_(metrics->Histogram("mentor_grpc_server_handling_seconds",
                                    "From the beginning of a call to its status; streams included.",
                                    RpcBuckets(), {{"method", method_}})),
        streams_(
            metrics->Gauge("mentor_grpc_server_streams", "Streams open.", {{"method", method_}})) {
    for (const grpc::StatusCode code : kShownCodes) Handled(code);
  }

  void Begin(bool stream) {
    started_.Increment();
    if (stream) streams_.Increment();
  }
  void End(bool stream, grpc::StatusCode code, double seconds) {
    if (stream) streams_.Decrement();
    seconds_.Observe(seconds);
    Handled(code).Increment();
  }

 private:
  prometheus::Counter& Handled(grpc::StatusCode code) {
    return metrics_->Counter(
        "mentor_grpc_server_handled_total", "Calls ended, by their status.",
        {{"method", method_},
         {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}});
  }

  Metrics* const metrics_;
  const std::string method_;
  prometheus::Counter& started_;
  prometheus::Histogram& seconds_;
  prometheus::Gauge& streams_;
};

// Watches one call. gRPC runs the hooks of a call one after another.
class CallWatch final : public grpc::experimental::Interceptor {
 public:
  CallWatch(Calls* calls, bool stream) : calls_(calls), stream_(stream) { calls_->Begin(stream_); }
  // Counts a call that was abandoned before it had a status.
  ~CallWatch() override { End(grpc::CANCELLED); }

  void Intercept(InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      End(batch->GetSendStatus().error_code());
    }
    batch->Proceed();
  }

 private:
  void End(grpc::StatusCode code) {
    if (ended_) return;
    ended_ = true;
    const auto taken = std::chrono::steady_clock::now() - start_;
    calls_->End(stream_, code, std::chrono::duration<double>(taken).count());
  }

  Calls* const calls_;
  const bool stream_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool ended_ = false;
};

class CallMetrics final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  CallMetrics(Metrics* metrics, const std::vector<std::string>& services) : metrics_(metrics) {
    const auto* pool = google::protobuf::DescriptorPool::generated_pool();
    for (const std::string& name : services) {
      const auto* service = pool->FindServiceByName(name);
      if (service == nullptr) continue;
      for (int i = 0; i < service->method_count(); ++i) {
        Of(absl::StrCat("/", name, "/", service->method(i)->name()));
      }
    }
  }

  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    const char* const method = info->method();
    return new CallWatch(Of(method == nullptr ? "" : method),
                         info->type() != ServerRpcInfo::Type::UNARY);
  }

 private:
  // `path` is "/package.Service/Method".
  Calls* Of(const std::string& path) {
    const MutexLock lock(mutex_);
    const auto found = calls_.find(path);
    if (found != calls_.end()) return found->second.get();
    std::string name = path.substr(path.empty() ? 0 : 1);
    std::string dotted = name;
    if (const size_t slash = dotted.find('/'); slash != std::string::npos) dotted[slash] = '.';
    const auto* pool = google::protobuf::DescriptorPool::generated_pool();
    const auto* library = std::find(std::begin(kLibraryMethods), std::end(kLibraryMethods), name);
    if (library == std::end(kLibraryMethods) && pool->FindMethodByName(dotted) == nullptr) {
      // Not stored by path, since strangers could invent any number of paths.
      if (other_ == nullptr) other_ = std::make_unique<Calls>(metrics_, "other");
      return other_.get();
    }
    if (name.compare(0, kOwnPackage.size(), kOwnPackage) == 0) name.erase(0, kOwnPackage.size());
    return calls_.emplace(path, std::make_unique<Calls>(metrics_, name)).first->second.get();
  }

  Metrics* const metrics_;
  // Guarded by mutex_; the objects behind the pointers do their own locking.
  Mutex mutex_;
  std::map<std::string, std::unique_ptr<Calls>> calls_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Calls> other_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallMetrics(
    Metrics* metrics, const std::vector<std::string>& services) {
  return std::make_unique<CallMetrics>(metrics, services);
}

StreamMetrics MakeStreamMetrics(Metrics* metrics, const std::string& method) {
  const auto counter = [&](const char* name, const char* help, const char* direction) {
    return &metrics->Counter(name, help, {{"method", method}, {"direction", direction}});
  };
  const auto messages = [&](const char* direction) {
    return counter("mentor_grpc_messages_total", "Messages on streams.", direction);
  };
  const auto bytes = [&](const char* direction) {
    return counter("mentor_grpc_message_bytes_total", "Bytes of messages on streams.", direction);
  };
  return {.messages_sent = messages("sent"),
          .messages_received = messages("received"),
          .bytes_sent = bytes("sent"),
          .bytes_received = bytes("received")};
}

}  // namespace mentor::rpc
