#include "meta_learner/leadership.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include "common/lifecycle.h"
#include "common/log.h"
#include "common/status.h"

namespace mentor::meta_learner {

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

absl::StatusOr<std::unique_ptr<ExperimentStore>> Leadership::Open(Process* process,
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
  const int signal = process->StandBy([&] {
    return Process::Standing{.over = standby_->over(), .available = standby_->available()};
  });
  if (signal != 0) return nullptr;
  store = standby_->Take();
  server->address = standby_->address();
  if (!store.ok()) return store;
  takeovers_.Increment();
  MENTOR_LOG(kInfo, "leading from now on", {{"address", server->address}});
  return store;
}

int Leadership::WaitForDatabase(Process* process,
                                absl::StatusOr<std::unique_ptr<ExperimentStore>>* store) {
  constexpr std::chrono::seconds kRetry{1};
  auto next = std::chrono::steady_clock::now() + kRetry;
  return process->StandBy([&] {
    MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning,
                     "the database is away; waiting for it before the start",
                     {{"why", store->status()}});
    if (std::chrono::steady_clock::now() >= next) {
      *store = OpenStore(options_.store);
      next = std::chrono::steady_clock::now() + kRetry;
    }
    return Process::Standing{.over = !absl::IsUnavailable(store->status())};
  });
}

void Leadership::SayAddress(const std::string& address) {
  if (std::exchange(said_, true)) return;
  std::printf("listening on %s\n", address.c_str());
  std::fflush(stdout);
}

bool Leadership::Look(ExperimentStore* store) {
  const bool leads = store->Leads().ok();
  leader_.Set(leads ? 1 : 0);
  return leads;
}

}  // namespace mentor::meta_learner
