#include "meta_learner/store/lease.h"

#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/log.h"
#include "common/status.h"

namespace mentor::meta_learner {

absl::Status NotLeader(const std::string& leader) {
  std::map<std::string, std::string> facts;
  if (!leader.empty()) facts["leader"] = leader;
  return MakeError(
      Reason::kNotLeader,
      leader.empty()
          ? "this meta-learner stands by and knows no leader; try again soon"
          : absl::StrCat("this meta-learner stands by, ", leader,
                         " leads: ask that one, or name all of them in the list of addresses"),
      facts);
}

absl::Status HeldLease::At(Clock::time_point now) const {
  const auto age = now - confirmed_;
  if (age < kLease) return absl::OkStatus();
  return MakeError(Reason::kNotLeader,
                   absl::StrFormat("this meta-learner has not reached its database for %d s; "
                                   "another one may lead now",
                                   std::chrono::duration_cast<std::chrono::seconds>(age).count()));
}

LeaseKeeper::LeaseKeeper(std::string database, int64_t number, std::string advertise,
                         std::function<void(const absl::Status&)> on_lost)
    : address_(std::move(database)),
      number_(number),
      on_lost_(std::move(on_lost)),
      advertise_(std::move(advertise)),
      lease_(HeldLease::Clock::now()) {
  Beat();
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void LeaseKeeper::Run(const std::stop_token& stop) {
  while (!StopRequestedWithin(stop, kBeat)) {
    Beat();
    const MutexLock lock(mutex_);
    if (!lost_.ok()) return;
  }
}

void LeaseKeeper::Beat() {
  std::string advertise;
  {
    const MutexLock lock(mutex_);
    lease_.Sent(HeldLease::Clock::now());
    advertise = advertise_;
  }
  const auto beat = [&]() -> absl::StatusOr<bool> {
    if (database_ == nullptr) {
      MENTOR_ASSIGN_OR_RETURN(database_, sql::ConnectPostgres(address_));
    }
    return database_
        ->Query(
            "UPDATE lease SET beat = beat + 1, leader = ? WHERE number = ? AND "
            "number = (SELECT number FROM fence) RETURNING beat",
            advertise, number_)
        .Step();
  };
  const absl::StatusOr<bool> done = beat();
  if (!done.ok()) {
    MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "the lease could not be renewed",
                     {{"why", done.status()}});
    return;
  }
  if (!*done) return Lost();
  const MutexLock lock(mutex_);
  lease_.Confirmed();
}

void LeaseKeeper::Lost() {
  std::string leader;
  auto row = database_->Query("SELECT leader FROM lease WHERE number = (SELECT number FROM fence)");
  if (const auto found = row.Step(); found.ok() && *found) leader = row.Text(0);
  {
    const MutexLock lock(mutex_);
    lost_ = NotLeader(leader);
  }
  if (on_lost_) {
    on_lost_(MakeError(Reason::kInUse,
                       absl::StrCat(database_->name(), " was taken over by the meta-learner ",
                                    leader.empty() ? "at an address that is not known" : leader)));
  }
}

absl::Status LeaseKeeper::Leads() {
  const MutexLock lock(mutex_);
  MENTOR_RETURN_IF_ERROR(lost_);
  return lease_.At(HeldLease::Clock::now());
}

void LeaseKeeper::Advertise(const std::string& address) {
  const MutexLock lock(mutex_);
  advertise_ = address;
}

bool BeatWatch::Stopped(const Lease& lease, Clock::time_point began, Clock::time_point ended) {
  // A slow database delays the leader's beats too, so a slow look proves nothing.
  if (!lease.held || !lease.beats || ended - began > kLease / 3) {
    Failed();
    return false;
  }
  if (!seen_ || seen_->number != lease.number || seen_->beat != lease.beat) {
    seen_ = lease;
    since_ = ended;
    return false;
  }
  return began - since_ >= kLease;
}

absl::StatusOr<Lease> LeaseWatch::Look() {
  const auto began = BeatWatch::Clock::now();
  auto lease = Read();
  if (!lease.ok()) {
    beats_.Failed();
    return lease;
  }
  if (!beats_.Stopped(*lease, began, BeatWatch::Clock::now())) return lease;
  MENTOR_LOG(kWarning, "the leader has stopped; its session with the database is ended",
             {{"leader", lease->leader}, {"number", lease->number}, {"beat", lease->beat}});
  MENTOR_RETURN_IF_ERROR(EndLeader(*lease));
  beats_.Failed();
  return Read();
}

absl::StatusOr<Lease> LeaseWatch::Read() {
  if (database_ == nullptr) {
    MENTOR_ASSIGN_OR_RETURN(database_, sql::ConnectPostgres(address_));
  }
  Lease lease;
  MENTOR_ASSIGN_OR_RETURN(
      const int64_t locks,
      database_->Number(absl::StrCat("SELECT count(*) FROM pg_locks WHERE ", sql::HoldsTheLock())));
  lease.held = locks > 0;
  if (!has_tables_) {
    MENTOR_ASSIGN_OR_RETURN(const int64_t tables,
                            database_->Number("SELECT CASE WHEN to_regclass('fence') IS NULL OR "
                                              "to_regclass('lease') IS NULL THEN 0 ELSE 1 END"));
    has_tables_ = tables == 1;
    if (!has_tables_) return lease;
  }
  auto row = database_->Query(
      "SELECT lease.number, leader, beat FROM lease JOIN fence ON fence.number = lease.number");
  MENTOR_ASSIGN_OR_RETURN(lease.beats, row.Step());
  if (!lease.beats) return lease;
  lease.number = row.Integer(0);
  lease.leader = row.Text(1);
  lease.beat = row.Integer(2);
  return lease;
}

absl::Status LeaseWatch::EndLeader(const Lease& lease) {
  auto ended = database_->Query(
      absl::StrCat("SELECT pg_terminate_backend(pid)::int FROM pg_locks WHERE ",
                   sql::HoldsTheLock(),
                   " AND EXISTS (SELECT 1 FROM lease WHERE number = ? AND beat = ?)"),
      lease.number, lease.beat);
  return ended.ForEach([](const sql::Query&) {});
}

}  // namespace mentor::meta_learner
