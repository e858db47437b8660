// Who leads, where several meta-learners share a PostgreSQL database (postgres.h): the leader
// beats, those who stand by watch it. What decides is the lock and the fencing number in the
// database; the beats say that a leader which still has both is stopped or cut off, so that its
// session is ended. Not for SQLite, where a lock of the folder decides.
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
// A leader whose beats stay out for so long leads no more.
inline constexpr std::chrono::milliseconds kLease{6000};

// UNAVAILABLE NOT_LEADER: ask `leader`, an address, in its place; empty: nobody is known to lead.
absl::Status NotLeader(const std::string& leader);

// Beats for the writer with a fencing number, on a connection of its own. Thread-safe.
class LeaseKeeper {
 public:
  // Has beaten once, unless the database is away again. `on_lost` is called once, from any thread,
  // when there is another writer.
  LeaseKeeper(std::string database, int64_t number, std::string advertise,
              std::function<void(const absl::Status&)> on_lost);

  // OK as long as nobody else can be leading: UNAVAILABLE when the database has not been reached
  // for a lease, and NOT_LEADER for good once there is another writer.
  absl::Status Leads();
  // From the next beat on, the address that others name.
  void Advertise(const std::string& address);

 private:
  void Run(const std::stop_token& stop);
  void Beat();
  void Lost();

  // Fixed after construction.
  const std::string address_;
  const int64_t number_;
  const std::function<void(const absl::Status&)> on_lost_;
  // Of the thread, or of the constructor before.
  std::unique_ptr<sql::Database> database_;
  // Guarded by mutex_.
  Mutex mutex_;
  std::string advertise_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point confirmed_ ABSL_GUARDED_BY(mutex_);
  absl::Status lost_ ABSL_GUARDED_BY(mutex_);
  // Last, so that it stops first.
  std::jthread thread_;
};

// What the database says about the lease.
struct Lease {
  bool held = false;        // Somebody has the lock.
  bool beats = false;       // By a version that beats.
  int64_t number = 0;       // The fencing number.
  std::string leader = {};  // Its address; empty: not known.
  int64_t beat = 0;
  bool operator==(const Lease&) const = default;
};

// Decides whether a leader that has the lock has stopped. Pure.
class BeatWatch {
 public:
  using Clock = std::chrono::steady_clock;
  // What a look said that began and ended then. True: its beats have stayed out for a lease.
  bool Stopped(const Lease& lease, Clock::time_point began, Clock::time_point ended);
  // A look that failed: the leader cannot beat then either.
  void Failed() { seen_.reset(); }

 private:
  std::optional<Lease> seen_;
  Clock::time_point since_;
};

// For who stands by; one thread at a time.
class LeaseWatch {
 public:
  explicit LeaseWatch(std::string database) : address_(std::move(database)) {}
  // The lease now, after the session of a leader that has stopped was ended. Blocks.
  absl::StatusOr<Lease> Look();

 private:
  absl::StatusOr<Lease> Read();
  // The session that has the lock ends, if the lease is still this one.
  absl::Status EndLeader(const Lease& lease);

  const std::string address_;
  std::unique_ptr<sql::Database> database_;
  bool has_tables_ = false;
  BeatWatch beats_;
};

}  // namespace mentor::meta_learner
