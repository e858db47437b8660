// Chooses one of several learners for an actor. Pure; one thread at a time.
//
// Rendezvous hashing (highest random weight; Thaler and Ravishankar, 1998): each actor ranks the
// learners by a hash of its uid and the learner's address. The first learner is its home. Actors
// thus spread evenly without a table, and a learner that comes or goes moves only its own actors.
//
// An actor stays with a learner until the stream ends. It then goes to the first learner in rank
// that is not in its delay after a failure. To balance the load, an actor without work also asks
// other learners whether units wait there. An actor that is not at home asks its home, since each
// learner has priority on the actors whose home it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "common/rpc/channel.h"

namespace mentor::actor {

// Weight of a learner for an actor: higher weights are chosen first.
uint64_t RendezvousWeight(const std::string& actor_uid, const std::string& address);

class LearnerChoice {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    // Delays between attempts at one learner.
    rpc::Backoff backoff = {};
    // After this many failures in a row, at any learners, attempts are at least `pace` apart. Long
    // lists thus do not cause rapid attempts.
    int hurried = 16;
    std::chrono::milliseconds pace{100};
    // Delay after FAILED_PRECONDITION, which only a person can cure.
    std::chrono::milliseconds refused{60'000};
    // A learner that failed within this time is not asked for work.
    std::chrono::milliseconds doubted{60'000};
    // Number of learners that an actor without work asks at a time, besides its home.
    size_t asked = 2;
  };
  explicit LearnerChoice(std::string actor_uid) : LearnerChoice(std::move(actor_uid), Options()) {}
  LearnerChoice(std::string actor_uid, const Options& options)
      : actor_uid_(std::move(actor_uid)), options_(options) {}

  // Sets the current learners, each once.
  void Update(const std::vector<std::string>& addresses);
  std::vector<std::string> Ranked() const;

  // Returns the time to wait; zero: try current() now. nullopt if there are no learners.
  std::optional<std::chrono::nanoseconds> Next(Clock::time_point now);
  const std::string& current() const { return current_; }
  // True for the first learner in rank.
  bool IsHome(const std::string& address) const {
    return !learners_.empty() && learners_.front().address == address;
  }
  bool at_home() const { return IsHome(current_); }
  // Reports that the learner has welcomed this actor.
  void Connected(Clock::time_point now) {
    connected_at_ = now;
    failures_ = 0;
  }
  // Reports how the attempt or the stream ended. `uniform` in (0, 1) is for the jitter.
  void Ended(const absl::Status& status, Clock::time_point now, double uniform);

  // Returns the learners to ask for work now, in this order; the next call returns others.
  std::vector<std::string> ToAsk(bool idle, Clock::time_point now);
  // Makes this learner, where units wait, the next to try.
  void GoTo(const std::string& address) { wanted_ = address; }

 private:
  struct Learner {
    std::string address;
    uint64_t weight = 0;
    int failures = 0;
    std::optional<Clock::time_point> failed_at = {};
    Clock::time_point not_before = {};
  };
  Learner* Find(const std::string& address);
  bool MayBeAsked(const Learner& learner, Clock::time_point now) const;

  const std::string actor_uid_;
  const Options options_;
  std::vector<Learner> learners_;  // By weight, highest first.
  std::string current_;            // May be gone from learners_.
  std::optional<std::string> wanted_;
  std::optional<Clock::time_point> connected_at_;  // Set while a stream is open.
  int failures_ = 0;                               // Failures in a row.
  Clock::time_point not_before_ = {};              // For all learners.
  size_t asked_last_ = 0;                          // Index in learners_.
};

}  // namespace mentor::actor
