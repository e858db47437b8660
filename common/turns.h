// Decides which units of work run and which wait. A process with n threads for units has n places.
// A unit that has begun keeps its thread until it is done, and runs while it has a place. Places
// rotate between experiments by class, owner and weight (fair_queue.h). Experiments are charged for
// running time, so a slow unit costs only its own experiment. Units are an actor's, or the lanes of
// a learner's WorkerPool (docs/architecture.md, "Turns").
//
// A unit whose turn is over loses its place at once, and stops at its next pause point
// (pause_point.h). Until then more threads than places run, so that nothing waits for a slow step
// or a silent simulator. Pure policy: no threads, no clock. Not thread-safe.
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
    // Time between two checks for turns that are over, while units wait.
    Time slice = std::chrono::milliseconds(5);
    FairQueue::Options fairness = {};
  };
  explicit Turns(const Options& options) : options_(options), queue_(options.fairness) {}

  // Adds a new unit, which waits.
  void Add(Id id, const v1::WorkShare& share);
  // Removes a unit that is done or cancelled.
  void Remove(Id id, Time now);
  // Fills the places. The returned units begin, or continue after a wait.
  std::vector<Id> FillPlaces(Time now);
  // Called by a unit at its pause point. Returns true if it continues, false if it must wait until
  // FillPlaces returns it.
  bool GoesOn(Id id, Time now);
  // Call after time has passed or units were added: takes the places of units whose turn is over.
  // The returned units must stop at their next pause points. Call FillPlaces afterwards.
  std::vector<Id> TakePlaces(Time now);

  // Number of units that run in a place, and of units that wait for one.
  int working() const { return working_; }
  size_t waiting() const { return waiting_; }
  // True if units wait, and the units belong to several experiments.
  bool contended() const { return waiting_ > 0 && experiments_ > 1; }
  Time TimeAtWork(Id id, Time now) const;
  bool HasPlace(Id id) const { return units_.at(id).state == State::kWorking; }
  // True if the unit runs, with or without a place.
  bool Computes(Id id) const { return units_.at(id).state != State::kWaiting; }

 private:
  enum class State { kWaiting, kWorking, kLate };  // kLate: runs without a place.
  struct Unit {
    std::string experiment;
    State state = State::kWaiting;
    bool begun = false;
    Time since{0};  // Begin of the running time that is not in `worked` yet.
    Time worked{0};
  };
  struct Line {
    std::deque<Id> begun, fresh;  // Waiting units: those that have begun go first.
    std::deque<Id> late;
    int units = 0;  // All units of the experiment.
    bool empty() const { return begun.empty() && fresh.empty(); }
  };

  void Charge(Unit* unit, Time now);
  // Gives units of `line` that run without a place a place again, while places are free.
  void GiveBack(Line* line);
  // Returns the experiment that gets the next place. An experiment in granted_ goes first: a second
  // draw could undo the first.
  std::string NextToWork();
  // Experiments with waiting units.
  std::set<std::string> Ready() const;

  const Options options_;
  FairQueue queue_;
  std::map<Id, Unit> units_;
  std::map<std::string, Line> lines_;
  std::deque<std::string> granted_;    // Experiments for which TakePlaces took a place.
  int working_ = 0, experiments_ = 0;  // experiments_: number of experiments with units.
  size_t waiting_ = 0;
};

}  // namespace mentor
