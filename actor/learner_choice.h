// Which of several learners an actor goes to. Pure; one thread at a time.
//
// Rendezvous hashing (highest random weight; Thaler and Ravishankar, 1998): each actor ranks the
// learners by a hash of its uid and the learner's address. The first one is its home. So actors
// spread evenly, nobody keeps a table, and when a learner comes or goes only its own actors move.
//
// An actor stays with a learner until the stream ends; then it goes to the first in rank that is
// not in its wait after a failure. Besides, so that no learner lacks actors while others have some
// to spare, an actor without work asks others whether units wait there, and one that is not at home
// asks its home: each learner has the first call on the actors whose home it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "common/rpc/channel.h"

namespace mentor::actor {

// Weight of a learner for an actor: the higher, the sooner it is chosen.
uint64_t RendezvousWeight(const std::string& actor_uid, const std::string& address);

class LearnerChoice {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    // Between attempts at one learner.
    rpc::Backoff backoff = {};
    // Failures in a row, at whatever learners, after which attempts are `pace` apart: a long list
    // is no reason to hurry.
    int hurried = 16;
    std::chrono::milliseconds pace{100};
    // After FAILED_PRECONDITION, which only a person can cure.
    std::chrono::milliseconds refused{60'000};
    // A learner that failed within this time is not asked whether it has work.
    std::chrono::milliseconds doubted{60'000};
    // Learners that an actor without work asks at a time, besides its home.
    size_t asked = 2;
  };
  explicit LearnerChoice(std::string actor_uid) : LearnerChoice(std::move(actor_uid), Options()) {}
  LearnerChoice(std::string actor_uid, const Options& options)
      : actor_uid_(std::move(actor_uid)), options_(options) {}

  // All learners that there are now, each once.
  void Update(const std::vector<std::string>& addresses);
  std::vector<std::string> Ranked() const;

  // How long to wait; zero: current() is the one to try now. Nothing: there are no learners.
  std::optional<std::chrono::nanoseconds> Next(Clock::time_point now);
  const std::string& current() const { return current_; }
  // The first in rank.
  bool IsHome(const std::string& address) const {
    return !learners_.empty() && learners_.front().address == address;
  }
  bool at_home() const { return IsHome(current_); }
  // It has welcomed this actor.
  void Connected(Clock::time_point now) {
    connected_at_ = now;
    failures_ = 0;
  }
  // The attempt or the stream has ended like this. `uniform` in (0, 1) is for the jitter.
  void Ended(const absl::Status& status, Clock::time_point now, double uniform);

  // Whom to ask for work now, in this order; others the next time.
  std::vector<std::string> ToAsk(bool idle, Clock::time_point now);
  // The next attempt is this one's, whose units wait.
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
  std::vector<Learner> learners_;  // By weight, the highest first.
  std::string current_;            // Perhaps gone from learners_.
  std::optional<std::string> wanted_;
  std::optional<Clock::time_point> connected_at_;  // While a stream is open.
  int failures_ = 0;                               // In a row.
  Clock::time_point not_before_ = {};              // For whichever is next.
  size_t asked_last_ = 0;                          // In learners_.
};

}  // namespace mentor::actor
