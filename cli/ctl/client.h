// The connection to the meta-learner: calls with deadlines and retries, and streams, which Ctrl-C
// interrupts. One thread uses a client; only Interrupt may come from another thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "common/mutex.h"
#include "common/rpc/channel.h"
#include "common/rpc/channel_list.h"
#include "common/rpc/credentials.h"
#include "common/rpc/grpc_status.h"
#include "common/secret.h"
#include "mentor/v1/bundle_service.grpc.pb.h"
#include "mentor/v1/experiment_service.grpc.pb.h"

namespace mentor::ctl {

using Stub = v1::ExperimentService::Stub;
using BundleStub = v1::BundleService::Stub;

// Returns how long to wait before the next attempt, or nullopt when another attempt would not help.
// The server may name the delay (RetryInfo). UNAVAILABLE without a delay means a lost connection:
// the wait then grows with the attempts from 0.1 s to 2 s, times `uniform` in (0, 1).
std::optional<std::chrono::milliseconds> RetryAfter(const absl::Status& status, int attempt,
                                                    double uniform);

class Client {
 public:
  struct Options {
    std::string server;  // One address, or several separated by commas, of which one leads.
    rpc::TlsFiles tls;
    Secret token;
    bool allow_insecure = false;
    double timeout_s = 10;
    bool verbose = false;  // Prints a line on stderr for each call.
    // Called with the server's status when a call must wait for the server.
    std::function<void(const absl::Status&)> on_retry = nullptr;
  };
  static absl::StatusOr<std::unique_ptr<Client>> Make(Options options);

  // Calls the server and retries until the timeout while a retry may help. Every method may be
  // repeated; creation carries a request_id. Returns CANCELLED after Interrupt. `at_least` extends
  // the timeout of slow calls. `gone_is_done`: NOT_FOUND after a lost answer is success, since an
  // earlier attempt did the work.
  template <typename Request, typename Response, typename ServiceStub>
  absl::StatusOr<Response> Call(grpc::Status (ServiceStub::*method)(grpc::ClientContext*,
                                                                    const Request&, Response*),
                                const Request& request, std::chrono::milliseconds at_least = {},
                                bool gone_is_done = false) {
    const auto deadline = std::chrono::system_clock::now() + std::max(timeout(), at_least);
    absl::Status before;  // Says why, if the last attempt is cut short by the deadline.
    bool lost = false;    // An earlier attempt may have done the work.
    for (int attempt = 0;; ++attempt) {
      grpc::ClientContext context;
      context.set_deadline(deadline);
      if (!Begin(&context)) return absl::CancelledError("interrupted");
      Response response;
      const auto began = std::chrono::steady_clock::now();
      const std::unique_ptr<ServiceStub> stub = NewStub<ServiceStub>();
      absl::Status status = StatusOf((stub.get()->*method)(&context, request, &response));
      End(context, Request::descriptor()->name(), status, began);
      if (status.ok()) return response;
      if (interrupted()) return absl::CancelledError("interrupted");
      if (gone_is_done && lost && absl::IsNotFound(status)) return Response();
      if (absl::IsDeadlineExceeded(status) && !before.ok()) status = before;
      const auto pause = RetryAfter(status, attempt, jitter_.Next());
      if (!pause || std::chrono::system_clock::now() + *pause >= deadline)
        return Explained(status, Request::descriptor()->name());
      if (options_.on_retry && attempt == 2) options_.on_retry(status);
      if (!Wait(*pause)) return absl::CancelledError("interrupted");
      lost = lost || absl::IsUnavailable(status);
      before = status;
    }
  }

  // As Call, for a paged method: merges all pages into one response.
  template <typename Request, typename Response, typename ServiceStub>
  absl::StatusOr<Response> CallForAll(grpc::Status (ServiceStub::*method)(grpc::ClientContext*,
                                                                          const Request&,
                                                                          Response*),
                                      Request request) {
    Response all;
    if (request.page_size() == 0) request.set_page_size(500);
    do {
      absl::StatusOr<Response> page = Call(method, request);
      if (!page.ok()) return page.status();
      request.set_page_token(page->next_page_token());
      all.MergeFrom(*page);
    } while (!request.page_token().empty());
    all.clear_next_page_token();
    return all;
  }

  // Reads one stream from beginning to end. Without a deadline, keepalive detects a dead server.
  // Returns the status that ended the stream; OK also when on_message returned false.
  template <typename Request, typename Response>
  absl::Status Stream(std::unique_ptr<grpc::ClientReader<Response>> (Stub::*method)(
                          grpc::ClientContext*, const Request&),
                      const Request& request,
                      const std::function<bool(const Response&)>& on_message,
                      absl::Time deadline = absl::InfiniteFuture()) {
    grpc::ClientContext context;
    if (deadline != absl::InfiniteFuture()) context.set_deadline(absl::ToChronoTime(deadline));
    if (!Begin(&context)) return absl::CancelledError("interrupted");
    const auto began = std::chrono::steady_clock::now();
    const std::unique_ptr<Stub> stub = NewStub<Stub>();
    const auto reader = (stub.get()->*method)(&context, request);
    Response response;
    bool enough = false;
    while (!enough && reader->Read(&response)) enough = !on_message(response);
    if (enough) context.TryCancel();
    absl::Status status = StatusOf(reader->Finish());
    if (enough) status = absl::OkStatus();
    if (interrupted()) status = absl::CancelledError("interrupted");
    End(context, Request::descriptor()->name(), status, began);
    return Explained(std::move(status), Request::descriptor()->name());
  }

  // Wait returns false once interrupted.
  bool Wait(std::chrono::milliseconds span);
  bool interrupted();
  // Ends all calls under way soon, and prevents new ones.
  void Interrupt();

  // The address of the server in use now.
  std::string server() const { return channels_->address(); }
  std::chrono::milliseconds timeout() const;
  // PEM certificate that the server presented in the last call; empty without TLS.
  const std::string& server_certificate() const { return server_certificate_; }

 private:
  explicit Client(Options options) : options_(std::move(options)) {}

  std::shared_ptr<grpc::Channel> Channel();
  template <typename ServiceStub>
  std::unique_ptr<ServiceStub> NewStub() {
    if constexpr (std::is_same_v<ServiceStub, BundleStub>) {
      return v1::BundleService::NewStub(Channel());
    } else {
      return v1::ExperimentService::NewStub(Channel());
    }
  }
  // Explains a bare UNIMPLEMENTED: the message says which program answers at the address.
  absl::Status Explained(absl::Status status, const std::string& request);
  // Maps a CANCELLED that this client did not cause to UNAVAILABLE: the server is ending, for
  // instance a standby that takes over now.
  static absl::Status StatusOf(const grpc::Status& status) {
    const absl::Status own = rpc::FromGrpc(status);
    return absl::IsCancelled(own) ? absl::UnavailableError("the server ended the call") : own;
  }
  // Returns false once interrupted.
  bool Begin(grpc::ClientContext* context);
  void End(const grpc::ClientContext& context, const std::string& request,
           const absl::Status& status, std::chrono::steady_clock::time_point began);

  // Constant after Make.
  const Options options_;
  std::unique_ptr<rpc::ChannelList> channels_;
  // Used by the calling thread only.
  rpc::Jitter jitter_;
  std::string server_certificate_;
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;
  bool interrupted_ ABSL_GUARDED_BY(mutex_) = false;
  // Calls under way, possibly nested.
  std::vector<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::ctl
