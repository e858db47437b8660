#include "meta_learner/standby.h"

#include <utility>
#include <vector>

#include "common/check.h"
#include "common/log.h"
#include "common/rpc/status.h"
#include "common/status.h"
#include "common/wait.h"
#include "mentor/v1/shard_service.grpc.pb.h"

namespace mentor::meta_learner {
namespace {

// How often to check the lease, which bounds the delay of a takeover.
constexpr std::chrono::milliseconds kLook{500};
// Wait after a failed takeover, so that another process may try.
constexpr std::chrono::seconds kAfterFailure{5};
constexpr std::chrono::milliseconds kShutdownDeadline{500};

}  // namespace

// Refuses learners with the address of the leader.
class Standby::Refusal final : public v1::ShardService::CallbackService {
 public:
  explicit Refusal(std::function<absl::Status()> who_leads) : who_leads_(std::move(who_leads)) {}
  grpc::ServerBidiReactor<v1::RunRequest, v1::RunResponse>* Run(
      grpc::CallbackServerContext* /*context*/) override {
    class Reactor final : public grpc::ServerBidiReactor<v1::RunRequest, v1::RunResponse> {
     public:
      explicit Reactor(const absl::Status& status) { Finish(rpc::ToGrpc(status)); }
      void OnDone() override { delete this; }
    };
    return new Reactor(who_leads_());
  }
  grpc::ServerUnaryReactor* FetchBundle(grpc::CallbackServerContext* context,
                                        const v1::FetchBundleRequest* /*request*/,
                                        v1::FetchBundleResponse* /*response*/) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(rpc::ToGrpc(who_leads_()));
    return reactor;
  }

 private:
  const std::function<absl::Status()> who_leads_;
};

Standby::Standby(Options options, Metrics* metrics)
    : options_(std::move(options)),
      metrics_(metrics),
      watch_(options_.store.database),
      taken_(absl::UnavailableError("it stands by")) {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

Standby::~Standby() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  if (experiments_ != nullptr) experiments_->Stop();
  if (bundles_ != nullptr) bundles_->Stop();
  if (server_ != nullptr) server_->Shutdown(kShutdownDeadline);
}

void Standby::Run(const std::stop_token& stop) {
  do {
    over_ = Look();
  } while (!over_ && !StopRequestedWithin(stop, kLook));
}

bool Standby::Look() {
  const auto lease = watch_.Look();
  if (!lease.ok()) {
    available_ = false;
    MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "standing by; the database is away",
                     {{"why", lease.status()}});
    return false;
  }
  {
    const MutexLock lock(mutex_);
    leader_ = lease->held ? lease->leader : "";
  }
  const auto now = std::chrono::steady_clock::now();
  if (!lease->held && now >= not_before_) {
    StoreOptions leading = options_.store;
    leading.advertise = leading.advertise.empty() ? address() : leading.advertise;
    auto store = OpenStore(leading);
    const std::string reason = ReasonOf(store.status());
    const bool for_good =
        !store.ok() && reason != ReasonName(Reason::kInUse) && !absl::IsUnavailable(store.status());
    if (store.ok() || for_good) {
      taken_ = std::move(store);
      return true;
    }
    // Another process was faster, or the folder or database is unavailable.
    MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "could not take over",
                     {{"why", store.status()}});
    not_before_ = now + kAfterFailure;
  }
  const absl::Status serving = server_ == nullptr ? Serve() : absl::OkStatus();
  available_ = serving.ok();
  if (serving.ok()) return false;
  MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "standing by; reads cannot be answered yet",
                   {{"why", serving}});
  if (absl::IsUnavailable(serving)) return false;
  taken_ = serving;
  return true;
}

absl::Status Standby::Serve() {
  experiments_.reset();  // Left from an earlier attempt.
  bundles_.reset();
  MENTOR_ASSIGN_OR_RETURN(reading_, OpenStoreToRead(options_.store));
  ExperimentService::Options control = options_.control;
  control.store = reading_.get();
  control.refusal = [this] { return WhoLeads(); };
  bundles_ = std::make_unique<BundleService>(control, /*shelf=*/nullptr);
  experiments_ = std::make_unique<ExperimentService>(std::move(control), metrics_);
  refusal_ = std::make_unique<Refusal>([this] { return WhoLeads(); });
  MENTOR_ASSIGN_OR_RETURN(
      server_, rpc::Server::Start(options_.server,
                                  {refusal_.get(), experiments_->service(), bundles_->service()}));
  server_->SetAvailable(true);
  {
    const MutexLock lock(mutex_);
    listening_ = server_->address();
  }
  MENTOR_LOG(kInfo, "standing by", {{"listening", server_->address()}});
  options_.on_listening(server_->address());
  return absl::OkStatus();
}

absl::Status Standby::WhoLeads() {
  const MutexLock lock(mutex_);
  return NotLeader(leader_);
}

std::string Standby::address() {
  const MutexLock lock(mutex_);
  return listening_.empty() ? options_.server.address : listening_;
}

absl::StatusOr<std::unique_ptr<ExperimentStore>> Standby::Take() {
  MENTOR_CHECK(over_);
  thread_.join();
  return std::move(taken_);
}

}  // namespace mentor::meta_learner
