// Leader lease, where several meta-learners share a PostgreSQL database (database.h). The leader
// beats, and the standbys watch the beats. The lock and the fencing number in the database decide
// which process leads. Missing beats show that a leader which still has both is stopped or cut off;
// a standby then ends its session. SQLite does not use the lease: there a lock of the folder
// decides.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/mutex.h"
#include "meta_learner/store/database.h"

namespace mentor::meta_learner {

inline constexpr std::chrono::milliseconds kBeat{1000};
// A leader without beats for this long is replaced.
inline constexpr std::chrono::milliseconds kLease{6000};

// Returns UNAVAILABLE NOT_LEADER with the address of the leader; empty: no leader is known.
absl::Status NotLeader(const std::string& leader);

// How long a leader may trust its beats. A beat counts from its sending, since a standby may have
// seen it long before a slow database answers. Does no I/O.
class HeldLease {
 public:
  using Clock = std::chrono::steady_clock;
  // The lease was taken at `now`.
  explicit HeldLease(Clock::time_point now) : sent_(now), confirmed_(now) {}
  void Sent(Clock::time_point now) { sent_ = now; }
  // The beat that was sent last has been answered.
  void Confirmed() { confirmed_ = sent_; }
  // Returns UNAVAILABLE once the last confirmed beat is kLease old.
  absl::Status At(Clock::time_point now) const;

 private:
  Clock::time_point sent_, confirmed_;
};

// Beats for the writer with a fencing number, on its own connection. Thread-safe.
class LeaseKeeper {
 public:
  // The constructor beats once, unless the database is unavailable again. Calls `on_lost` once,
  // from any thread, when there is another writer.
  LeaseKeeper(std::string database, int64_t number, std::string advertise,
              std::function<void(const absl::Status&)> on_lost);

  // Returns OK while no other process can lead. Returns UNAVAILABLE when the database was not
  // reached for kLease. Returns NOT_LEADER for good once there is another writer.
  absl::Status Leads();
  // Sets the address that the next beats publish for this leader.
  void Advertise(const std::string& address);

 private:
  void Run(const std::stop_token& stop);
  void Beat();
  void Lost();

  const std::string address_;
  const int64_t number_;
  const std::function<void(const absl::Status&)> on_lost_;
  // Used only by the thread, and by the constructor before it.
  std::unique_ptr<sql::Database> database_;
  // Guarded by mutex_.
  Mutex mutex_;
  std::string advertise_ ABSL_GUARDED_BY(mutex_);
  HeldLease lease_ ABSL_GUARDED_BY(mutex_);
  absl::Status lost_ ABSL_GUARDED_BY(mutex_);
  // Last member, so that it stops first.
  std::jthread thread_;
};

// The lease as read from the database.
struct Lease {
  bool held = false;        // A process has the lock.
  bool beats = false;       // Its version beats.
  int64_t number = 0;       // The fencing number.
  std::string leader = {};  // Address; empty: not known.
  int64_t beat = 0;
  bool operator==(const Lease&) const = default;
};

// Decides whether a leader that has the lock has stopped. Does no I/O.
class BeatWatch {
 public:
  using Clock = std::chrono::steady_clock;
  // Takes a lease that was read between `began` and `ended`. Returns true if no beat came for
  // kLease.
  bool Stopped(const Lease& lease, Clock::time_point began, Clock::time_point ended);
  // Reports a failed look: the leader could not beat then either, so the wait starts again.
  void Failed() { seen_.reset(); }

 private:
  std::optional<Lease> seen_;
  Clock::time_point since_;
};

// Watches the lease for a standby. Used by one thread at a time.
class LeaseWatch {
 public:
  explicit LeaseWatch(std::string database) : address_(std::move(database)) {}
  // Returns the current lease. Ends the session of a stopped leader first. Blocks.
  absl::StatusOr<Lease> Look();

 private:
  absl::StatusOr<Lease> Read();
  // Ends the session that has the lock, if the lease is unchanged.
  absl::Status EndLeader(const Lease& lease);

  const std::string address_;
  std::unique_ptr<sql::Database> database_;
  bool has_tables_ = false;
  BeatWatch beats_;
};

}  // namespace mentor::meta_learner
