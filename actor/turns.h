// Which of an actor's units compute, and which wait. An actor with n threads has n places. A unit
// that has begun keeps its thread until it is done, and computes while it has a place. Places go
// round between experiments by class, owner and weight (common/fair_queue.h), which pay for the
// time at work: how long a unit takes is its own experiment's affair.
//
// Whoever is asked for its place gives it up at its next pause point (common/pause_point.h). Who
// has none for long, such as a host that does not answer, loses it: then more threads than places
// compute for a while. Pure policy: no threads, no clock of its own. Owned by the actor, whose lock
// guards it.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/fair_queue.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::actor {

class Turns {
 public:
  using Time = std::chrono::nanoseconds;
  using Id = uint64_t;
  struct Options {
    int places = 1;
    // Between two looks at who has had enough, while somebody waits.
    Time slice = std::chrono::milliseconds(5);
    // Who is asked for its place and answers nothing for so long has lost it.
    Time patience = std::chrono::milliseconds(100);
    FairQueue::Options fairness = {};
  };
  explicit Turns(const Options& options) : options_(options), queue_(options.fairness) {}

  // A unit has come; it waits.
  void Add(Id id, const v1::WorkShare& share);
  // It is done, or nobody wants it any more.
  void Remove(Id id, Time now);
  // Fills the places: these units begin, or go on.
  std::vector<Id> FillPlaces(Time now);
  // A unit at its pause point: true when it goes on at once, false when it waits until FillPlaces
  // names it.
  bool GoesOn(Id id, Time now);
  // Time has passed, or units have come: who is to answer at its next pause point. FillPlaces
  // comes after it.
  std::vector<Id> Ask(Time now);

  // Units that compute in a place, and those that wait for one.
  int working() const { return working_; }
  size_t waiting() const { return waiting_; }
  // Units wait, and not all are of one experiment.
  bool contended() const { return waiting_ > 0 && experiments_ > 1; }
  Time TimeAtWork(Id id, Time now) const;
  bool HasPlace(Id id) const { return units_.at(id).state == State::kWorking; }
  // In its place, or without one.
  bool Computes(Id id) const { return units_.at(id).state != State::kWaiting; }

 private:
  enum class State { kWaiting, kWorking, kLate };  // kLate: it computes and has lost its place.
  struct Unit {
    std::string experiment;
    State state = State::kWaiting;
    bool begun = false;
    Time since{0};  // Of its time at work, what is not in `worked` yet.
    Time worked{0};
    std::optional<Time> asked = {};
  };
  struct Line {
    std::deque<Id> begun, fresh;  // That wait: those that have begun go first.
    int units = 0;                // All of the experiment.
    bool empty() const { return begun.empty() && fresh.empty(); }
  };

  void Charge(Unit* unit, Time now);
  // Experiments with units that wait.
  std::set<std::string> Ready() const;

  const Options options_;
  FairQueue queue_;
  std::map<Id, Unit> units_;
  std::map<std::string, Line> lines_;
  int working_ = 0, experiments_ = 0;  // experiments_: with units here.
  size_t waiting_ = 0;
};

}  // namespace mentor::actor
