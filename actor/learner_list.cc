#include "actor/learner_list.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/check.h"
#include "common/log.h"
#include "common/rpc/address.h"
#include "common/rpc/grpc_status.h"
#include "common/status.h"
#include "envs/host/host_list.h"
#include "mentor/v1/rollout_service.grpc.pb.h"

namespace mentor::actor {
namespace {

// Minimum intervals between resolutions: for attempts, while all learners are in their delays, and
// before other learners are asked for work.
constexpr std::chrono::milliseconds kLookUpForAttempt{1'000}, kLookUpWhileWaiting{5'000},
    kLookUpForWork{30'000};
constexpr std::chrono::milliseconds kAskWithin{2'000};

}  // namespace

struct LearnerList::Instruments {
  explicit Instruments(Metrics* metrics)
      : known(metrics->Gauge("mentor_actor_learners", "Learners that it knows of.")),
        at_home(metrics->Gauge(
            "mentor_actor_at_home",
            "1 while the actor is connected to the learner that is its first choice.")),
        idle(Moves(metrics, "idle")),
        home(Moves(metrics, "home")),
        lost(Moves(metrics, "lost")) {}
  static prometheus::Counter& Moves(Metrics* metrics, const char* reason) {
    return metrics->Counter("mentor_actor_moves_total",
                            "Moves to another learner, because the old one had no work or was "
                            "lost, or the first choice had work again.",
                            {{"reason", reason}});
  }

  prometheus::Gauge &known, &at_home;
  prometheus::Counter &idle, &home, &lost;
};

absl::StatusOr<std::unique_ptr<LearnerList>> LearnerList::Make(const std::string& actor_uid,
                                                               const rpc::ChannelOptions& options,
                                                               Metrics* metrics) {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          rpc::ParseAddresses(options.address, kNamedMax));
  rpc::ChannelOptions one = options;
  one.address = names.front();
  MENTOR_ASSIGN_OR_RETURN(auto source, rpc::ChannelSource::Make(one));
  for (const std::string& name : names)
    MENTOR_RETURN_IF_ERROR(source->To(name, name, one.connect).status());
  return std::unique_ptr<LearnerList>(
      new LearnerList(actor_uid, names, std::move(source), metrics));
}

LearnerList::LearnerList(const std::string& actor_uid, std::vector<std::string> names,
                         std::unique_ptr<rpc::ChannelSource> source, Metrics* metrics)
    : names_(std::move(names)),
      source_(std::move(source)),
      instruments_(std::make_shared<Instruments>(metrics)),
      choice_(actor_uid) {}

void LearnerList::Resolve(std::chrono::milliseconds at_most_every) {
  {
    const MutexLock lock(mutex_);
    if (LearnerChoice::Clock::now() - resolved_at_ < at_most_every) return;
  }
  for (const std::string& name : names_) {
    auto addresses = rpc::ResolveAddress(name);  // Without the lock, since it may take seconds.
    const MutexLock lock(mutex_);
    if (addresses.ok()) {
      found_[name] = *std::move(addresses);
    } else {
      // The earlier addresses stay, since they may still work.
      MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "a name of learners cannot be resolved",
                       {{"why", addresses.status()}});
    }
  }
  const MutexLock lock(mutex_);
  name_of_.clear();
  std::vector<std::string> all;
  for (const std::string& name : names_) {
    for (const std::string& address : found_[name]) {
      if (name_of_.emplace(address, name).second) all.push_back(address);
    }
  }
  choice_.Update(all);
  resolved_at_ = LearnerChoice::Clock::now();
  instruments_->known.Set(static_cast<double>(all.size()));
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> LearnerList::To(const std::string& address) {
  std::string name;
  bool several;
  {
    const MutexLock lock(mutex_);
    const auto found = name_of_.find(address);
    if (found == name_of_.end()) return absl::UnavailableError(address + " is gone");
    name = found->second;
    several = name_of_.size() > 1;
  }
  return source_->To(name, address,
                     several ? rpc::kConnectOneOfSeveral : rpc::ChannelOptions().connect);
}

std::chrono::milliseconds LearnerList::Next() {
  Resolve(kLookUpForAttempt);
  std::string address;
  {
    const MutexLock lock(mutex_);
    const auto wait = choice_.Next(LearnerChoice::Clock::now());
    if (!wait) return rpc::Backoff().Delay(unresolved_++, jitter_.Next());
    unresolved_ = 0;
    if (wait->count() > 0)
      return std::min(kLookUpWhileWaiting, std::chrono::ceil<std::chrono::milliseconds>(*wait));
    address = choice_.current();
  }
  auto channel = To(address);
  if (!channel.ok()) {
    Ended(channel.status());
    return std::chrono::milliseconds(1);
  }
  const MutexLock lock(mutex_);
  channel_ = *std::move(channel);
  return std::chrono::milliseconds(0);
}

std::shared_ptr<grpc::Channel> LearnerList::channel() {
  const MutexLock lock(mutex_);
  return channel_;
}

std::string LearnerList::address() {
  const MutexLock lock(mutex_);
  return choice_.current();
}

std::string LearnerList::Connected() {
  const MutexLock lock(mutex_);
  const std::string address = choice_.current();
  choice_.Connected(LearnerChoice::Clock::now());
  instruments_->at_home.Set(choice_.at_home() ? 1 : 0);
  const Move why = std::exchange(moving_, Move::kNone);
  if (const std::string before = std::exchange(connected_, address);
      !before.empty() && before != address) {
    (why == Move::kIdle   ? instruments_->idle
     : why == Move::kHome ? instruments_->home
                          : instruments_->lost)
        .Increment();
  }
  return address;
}

void LearnerList::Ended(const absl::Status& status) {
  const MutexLock lock(mutex_);
  choice_.Ended(status, LearnerChoice::Clock::now(), jitter_.Next());
  if (!status.ok()) moving_ = Move::kNone;
  instruments_->at_home.Set(0);
}

uint64_t LearnerList::Ask(const std::string& address, const std::stop_token& stop) {
  const auto channel = To(address);
  if (!channel.ok()) return 0;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kAskWithin);
  const std::stop_callback cancel(stop, [&] { context.TryCancel(); });
  v1::GetLoadRequest request;
  for (const std::string& host : envs::SimulatorNames()) request.add_hosts(host);
  v1::GetLoadResponse response;
  const grpc::Status status =
      v1::RolloutService::NewStub(*channel)->GetLoad(&context, request, &response);
  return status.ok() ? response.units_waiting() : 0;
}

bool LearnerList::Look(bool idle, const std::stop_token& stop) {
  Resolve(kLookUpForWork);
  std::vector<std::string> ask;
  {
    const MutexLock lock(mutex_);
    instruments_->at_home.Set(choice_.at_home() ? 1 : 0);
    ask = choice_.ToAsk(idle, LearnerChoice::Clock::now());
  }
  for (const std::string& address : ask) {
    if (stop.stop_requested()) return false;
    const uint64_t units = Ask(address, stop);
    if (units == 0) continue;
    const MutexLock lock(mutex_);
    const bool home = choice_.IsHome(address);
    MENTOR_LOG(kInfo, "moves to another learner, where units wait",
               {{"address", address}, {"units", units}, {"why", home ? "first choice" : "idle"}});
    choice_.GoTo(address);
    moving_ = home ? Move::kHome : Move::kIdle;
    return true;
  }
  return false;
}

}  // namespace mentor::actor
