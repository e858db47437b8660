// Trust in a peer that takes work. Delivered work widens its window; lost or failed work is a
// strike and narrows it; several strikes in a row quarantine the peer. Has no clock; one thread at
// a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include <absl/functional/function_ref.h>

namespace mentor {

class Standing {
 public:
  struct Options {
    uint32_t window_min = 8;  // Units of work for a peer that has delivered nothing yet.
    uint32_t window_max = 1024;
    int strikes_max = 3;  // Strikes in a row before the quarantine.
    // Length of the first quarantine; doubles each time until something is delivered.
    std::chrono::nanoseconds quarantine_min = std::chrono::seconds(30);
    std::chrono::nanoseconds quarantine_max = std::chrono::minutes(10);
  };
  explicit Standing(const Options& options)
      : options_(options), window_(options.window_min), quarantine_(options.quarantine_min) {}

  // Records good work: widens the window by one, and resets strikes and quarantine.
  void Delivered();
  // Begins a quarantine now, whatever the peer did before.
  void Quarantine(std::chrono::nanoseconds now);
  // Begins a quarantine without end, for a peer whose numbers are known to be wrong.
  void Ban();
  // Records a strike. Returns true if it begins a quarantine.
  bool Strike(std::chrono::nanoseconds now);

  // True if the peer has delivered work, and nothing has failed since.
  bool good() const { return delivered_ && strikes_ == 0; }
  bool delivered() const { return delivered_; }
  int strikes() const { return strikes_; }
  // Units of work that the peer may hold, quarantine aside. One after a quarantine.
  uint32_t window() const { return window_; }
  // End of the quarantine; nullopt if there was none since the last good work.
  std::optional<std::chrono::nanoseconds> until() const { return until_; }
  bool banned() const { return until_ == std::chrono::nanoseconds::max(); }
  bool InQuarantine(std::chrono::nanoseconds now) const { return until_ && now < *until_; }

 private:
  Options options_;
  uint32_t window_;
  std::chrono::nanoseconds quarantine_;  // Length of the next quarantine.
  int strikes_ = 0;
  bool delivered_ = false;
  std::optional<std::chrono::nanoseconds> until_;
};

// Remembers the standing of peers that left with strikes, by name, for when they come back. Limited
// in size; one thread at a time.
class DepartedStandings {
 public:
  // Returns and forgets the standing that the peer had when it left, or returns a new one.
  Standing Returned(const std::string& name, const Standing::Options& options);
  bool Knows(const std::string& name) const { return standings_.contains(name); }
  void Left(const std::string& name, const Standing& standing);

 private:
  std::map<std::string, Standing> standings_;
};

// The peers that tried a piece of work without success. The work goes to other peers first, and
// back to these after growing delays, so that a healthy peer has time to connect. Has no clock; one
// thread at a time.
class TriedAt {
 public:
  struct Options {
    int errors_max = 3;  // Work is not given up after fewer errors.
    // Delay before work goes back to a peer that failed with it; doubles each time.
    std::chrono::nanoseconds wait_min = std::chrono::seconds(1);
    // Work is not given up before the errors span this time.
    std::chrono::nanoseconds span = std::chrono::seconds(30);
  };
  void Add(const std::string& name) { names_.insert(name); }
  // Records an error that the peer reported.
  void Failed(const std::string& name, std::chrono::nanoseconds now, const Options& options);
  int errors() const { return errors_; }
  // Earliest time at which the work may go back to a peer that has tried it.
  std::chrono::nanoseconds again() const { return again_; }
  // True after enough errors over a long enough time.
  bool IsGivenUp(std::chrono::nanoseconds now, const Options& options) const {
    return errors_ >= options.errors_max && now - first_error_ >= options.span;
  }
  bool Has(const std::string& name) const { return names_.contains(name); }
  bool empty() const { return names_.empty(); }
  size_t size() const { return names_.size(); }

  // True if some of `peers`, the values of a map, could still try the work. may_have(peer): the
  // peer could get such work at all. name_of(peer): its name here.
  template <typename Peers>
  bool LeavesSomeOf(
      const Peers& peers, absl::FunctionRef<bool(const typename Peers::mapped_type&)> may_have,
      absl::FunctionRef<std::string(const typename Peers::mapped_type&)> name_of) const {
    return std::any_of(peers.begin(), peers.end(), [&](const auto& entry) {
      return !Has(name_of(entry.second)) && may_have(entry.second);
    });
  }

 private:
  std::set<std::string> names_;
  int errors_ = 0;
  std::chrono::nanoseconds first_error_{0}, again_ = std::chrono::nanoseconds::min();
};

}  // namespace mentor
