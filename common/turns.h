// Which units of work compute, and which wait. A process with n threads for them has n places. A
// unit that has begun keeps its thread until it is done, and computes while it has a place. Places
// go round between experiments by class, owner and weight (fair_queue.h), which pay for the time at
// work: how long a unit takes is its own experiment's affair. Units are those of an actor, and the
// lanes of a learner's WorkerPool (docs/architecture.md, "Turns").
//
// A unit that has had enough loses its place at once, and stops at its next pause point
// (pause_point.h). Until then more threads than places compute, so that nobody waits for a slow
// step or a host that does not answer. Pure policy: no threads, no clock of its own. Not
// thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/fair_queue.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor {

class Turns {
 public:
  using Time = std::chrono::nanoseconds;
  using Id = uint64_t;
  struct Options {
    int places = 1;
    // Between two looks at who has had enough, while somebody waits.
    Time slice = std::chrono::milliseconds(5);
    FairQueue::Options fairness = {};
  };
  explicit Turns(const Options& options) : options_(options), queue_(options.fairness) {}

  // A unit has come; it waits.
  void Add(Id id, const v1::WorkShare& share);
  // It is done, or nobody wants it any more.
  void Remove(Id id, Time now);
  // Fills the places: these units begin, or go on after they waited.
  std::vector<Id> FillPlaces(Time now);
  // A unit at its pause point: true when it goes on at once, false when it waits until FillPlaces
  // names it.
  bool GoesOn(Id id, Time now);
  // Time has passed, or units have come: takes the places of units that have had enough. These are
  // to stop at their next pause points. FillPlaces comes after it.
  std::vector<Id> TakePlaces(Time now);

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
  enum class State { kWaiting, kWorking, kLate };  // kLate: it computes without a place.
  struct Unit {
    std::string experiment;
    State state = State::kWaiting;
    bool begun = false;
    Time since{0};  // Of its time at work, what is not in `worked` yet.
    Time worked{0};
  };
  struct Line {
    std::deque<Id> begun, fresh;  // That wait: those that have begun go first.
    std::deque<Id> late;
    int units = 0;  // All of the experiment.
    bool empty() const { return begun.empty() && fresh.empty(); }
  };

  void Charge(Unit* unit, Time now);
  // Those of `line` that compute without a place have one again, while places are free.
  void GiveBack(Line* line);
  // Of those that wait. One draw decides about a place: a second one would undo the first.
  std::string NextToWork();
  // Experiments with units that wait.
  std::set<std::string> Ready() const;

  const Options options_;
  FairQueue queue_;
  std::map<Id, Unit> units_;
  std::map<std::string, Line> lines_;
  std::deque<std::string> granted_;    // Experiments for which a place was taken from others.
  int working_ = 0, experiments_ = 0;  // experiments_: with units here.
  size_t waiting_ = 0;
};

}  // namespace mentor
