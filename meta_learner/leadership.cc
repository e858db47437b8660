#include "meta_learner/leadership.h"

#include <chrono>
#include <cstdio>
#include <optional>
#include <utility>

#include "common/check.h"
#include "common/lifecycle.h"
#include "common/log.h"
#include "common/rpc/grpc_status.h"
#include "common/status.h"
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

absl::StatusOr<std::unique_ptr<Store>> Standby::Take() {
  MENTOR_CHECK(over_);
  thread_.join();
  return std::move(taken_);
}

// ---- Leadership.

Leadership::Leadership(Options options, Metrics* metrics)
    : options_(std::move(options)),
      metrics_(metrics),
      leader_(metrics->Gauge("mentor_meta_learner_leader",
                             "1 in the meta-learner that leads, 0 in those that stand by.")),
      takeovers_(metrics->Counter("mentor_meta_learner_takeovers_total",
                                  "Times that it stood by and began to lead.")) {
  options_.store.try_only = options_.standby;
  // Another process writes now, so answers of this one would be wrong.
  options_.store.on_lost = [this](const absl::Status& why) {
    // Only once: a second stop request counts as a second signal, which ends the process at once.
    if (stopping_ || lost_.exchange(true)) return;
    MENTOR_LOG(kError, "the database is lost; stopping", {{"why", why}});
    RequestStop("the database is lost");
  };
}

absl::StatusOr<std::unique_ptr<Store>> Leadership::Open(Process* process,
                                                        rpc::ServerOptions* server) {
  auto store = OpenStore(options_.store);
  if (!options_.standby && !options_.store.database.empty() &&
      absl::IsUnavailable(store.status())) {
    if (WaitForDatabase(process, &store) != 0) return nullptr;
  }
  if (store.ok() || !options_.standby) return store;
  const bool in_use = ReasonOf(store.status()) == ReasonName(Reason::kInUse);
  if (!in_use && !absl::IsUnavailable(store.status())) return store;
  standby_ = std::make_unique<Standby>(
      Standby::Options{.store = options_.store,
                       .control = options_.control,
                       .server = *server,
                       .on_listening = [this](const std::string& address) { SayAddress(address); }},
      metrics_);
  const int signal = process->StandBy(
      [&] { return standby_->over() ? std::nullopt : std::optional(standby_->available()); });
  if (signal != 0) return nullptr;
  store = standby_->Take();
  server->address = standby_->address();
  if (!store.ok()) return store;
  takeovers_.Increment();
  MENTOR_LOG(kInfo, "leading from now on", {{"address", server->address}});
  return store;
}

int Leadership::WaitForDatabase(Process* process, absl::StatusOr<std::unique_ptr<Store>>* store) {
  constexpr std::chrono::seconds kRetry{1};
  auto next = std::chrono::steady_clock::now() + kRetry;
  return process->StandBy([&]() -> std::optional<bool> {
    MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning,
                     "the database is away; waiting for it before the start",
                     {{"why", store->status()}});
    if (std::chrono::steady_clock::now() >= next) {
      *store = OpenStore(options_.store);
      next = std::chrono::steady_clock::now() + kRetry;
    }
    if (!absl::IsUnavailable(store->status())) return std::nullopt;
    return false;
  });
}

void Leadership::SayAddress(const std::string& address) {
  if (std::exchange(said_, true)) return;
  std::printf("listening on %s\n", address.c_str());
  std::fflush(stdout);
}

bool Leadership::Look(Store* store) {
  const bool leads = store->Leads().ok();
  leader_.Set(leads ? 1 : 0);
  return leads;
}

}  // namespace mentor::meta_learner
