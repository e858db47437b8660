// Decides whose work runs next. Classes have strict priority, except for a small share of the
// lowest class. Within a class, owners get equal shares. Within an owner, experiments share by
// weight (stride scheduling: the experiment least served per weight is next). Uses no clock. Not
// thread-safe.
//
//   FairQueue queue({.low_share = 0.05});
//   queue.SetShare("experiments/a", {.owner = "ada", .weight = 2});
//   const auto next = queue.Next({"experiments/a", "experiments/b"});
//   queue.Charge(*next, /*cost=*/env_steps);
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "mentor/v1/experiment.pb.h"

namespace mentor {

// An experiment's claim to a share.
struct Share {
  std::string owner = {};
  v1::Priority priority = v1::PRIORITY_NORMAL;
  uint32_t weight = 1;
};

// Converts from and to the proto. Unset fields and unknown classes get their defaults.
Share ToShare(const v1::WorkShare& share);
v1::WorkShare ToProto(const std::string& experiment, const Share& share);

// Turns of the lowest class, which otherwise waits behind all others: one turn in 1 / share.
class LowTurns {
 public:
  explicit LowTurns(double share) : share_(share) {}
  // Call when both a higher class and the lowest wait. Returns true if the lowest gets this turn.
  bool Take();

 private:
  const double share_;
  double credit_ = 0;  // Fraction of a turn owed to the lowest class.
};

class FairQueue {
 public:
  struct Options {
    // The lowest class's share of turns while a higher class waits too.
    double low_share = 0.05;
  };
  explicit FairQueue(const Options& options) : low_turns_(options.low_share) {}

  // A new experiment begins level with the least served one. Changes apply from the next turn.
  void SetShare(const std::string& name, const Share& share);
  void Remove(const std::string& name);
  // Returns the default share if none was set.
  Share ShareOf(const std::string& name) const;

  // Returns the ready experiment whose turn it is; nullopt if none is ready. Names without a share
  // have the default share.
  std::optional<std::string> Next(const std::set<std::string>& ready);
  // Charges the cost of the turn, which the caller knows beforehand.
  void Charge(const std::string& name, double cost);

 private:
  struct Client {
    Share share;
    double served = 0;  // Cost per weight, including its starting level.
  };

  Client& ClientOf(const std::string& name);
  void LimitCredit(const std::set<std::string>& ready, v1::Priority turn);

  LowTurns low_turns_;
  std::map<std::string, Client> clients_;
  // By class and owner, for owners that have an experiment here.
  std::map<std::pair<v1::Priority, std::string>, double> owners_served_;
  double largest_cost_ = 0;
};

}  // namespace mentor
