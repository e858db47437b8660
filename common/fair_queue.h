// Whose work goes next: strict order between classes, except for a small share of the lowest; then
// fair between owners; then by weight between an owner's experiments (stride scheduling: whoever
// was served least per weight). Knows no clock. Not thread-safe.
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

// What an experiment is entitled to.
struct Share {
  std::string owner = {};
  v1::Priority priority = v1::PRIORITY_NORMAL;
  uint32_t weight = 1;
};

// As it travels with work; what is not said, or a class that nobody knows, has its default.
Share ToShare(const v1::WorkShare& share);
v1::WorkShare ToProto(const std::string& experiment, const Share& share);

// The lowest class waits behind all others, but for one turn in 1 / share.
class LowTurns {
 public:
  explicit LowTurns(double share) : share_(share) {}
  // Both a higher class and the lowest wait for a turn: true when it is the lowest's.
  bool Take();

 private:
  const double share_;
  double credit_ = 0;  // Turns that are owed.
};

class FairQueue {
 public:
  struct Options {
    // The lowest class's share of turns while something of a higher class waits too.
    double low_share = 0.05;
  };
  explicit FairQueue(const Options& options) : low_turns_(options.low_share) {}

  // A newcomer begins level with the least served one. Changes hold from the next turn on.
  void SetShare(const std::string& name, const Share& share);
  void Remove(const std::string& name);
  // The default one where none was set.
  Share ShareOf(const std::string& name) const;

  // Whose turn it is among those that are ready; nothing when none is. Names without a share have
  // the default one.
  std::optional<std::string> Next(const std::set<std::string>& ready);
  // What the turn costs, known beforehand.
  void Charge(const std::string& name, double cost);

 private:
  struct Client {
    Share share;
    double served = 0;  // Cost per weight, from where it began.
  };

  Client& ClientOf(const std::string& name);
  void LimitCredit(const std::set<std::string>& ready, v1::Priority turn);

  LowTurns low_turns_;
  std::map<std::string, Client> clients_;
  // By class and owner, while the owner has an experiment here.
  std::map<std::pair<v1::Priority, std::string>, double> owners_served_;
  double largest_cost_ = 0;
};

}  // namespace mentor
