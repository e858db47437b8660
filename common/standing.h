// How far a peer that takes work is trusted: what it delivered widens its window, work that it lost
// or failed narrows it, and a row of such strikes keeps it away for a while. No clock of its own;
// one thread at a time.
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
    uint32_t window_min = 8;  // Pieces of work for a peer that has delivered nothing yet.
    uint32_t window_max = 1024;
    int strikes_max = 3;  // In a row, before the peer is kept away.
    // For how long, the first time; it doubles each time until something is delivered.
    std::chrono::nanoseconds quarantine_min = std::chrono::seconds(30);
    std::chrono::nanoseconds quarantine_max = std::chrono::minutes(10);
  };
  explicit Standing(const Options& options)
      : options_(options), window_(options.window_min), quarantine_(options.quarantine_min) {}

  // Good work: one more may be out at once, and what was is forgotten.
  void Delivered();
  // Keeps it away from now on, whatever it did before.
  void Quarantine(std::chrono::nanoseconds now);
  // True when this strike keeps the peer away from now on.
  bool Strike(std::chrono::nanoseconds now);

  // Nothing has gone wrong since its last good work, of which there was some.
  bool good() const { return delivered_ && strikes_ == 0; }
  bool delivered() const { return delivered_; }
  int strikes() const { return strikes_; }
  // Pieces of work that it may hold, quarantine aside. One when it comes out of quarantine.
  uint32_t window() const { return window_; }
  // The end of its quarantine; nothing when it was not kept away since its last good work.
  std::optional<std::chrono::nanoseconds> until() const { return until_; }
  bool InQuarantine(std::chrono::nanoseconds now) const { return until_ && now < *until_; }

 private:
  Options options_;
  uint32_t window_;
  std::chrono::nanoseconds quarantine_;  // The next one's length.
  int strikes_ = 0;
  bool delivered_ = false;
  std::optional<std::chrono::nanoseconds> until_;
};

// How far peers that went with strikes are trusted when they come back, by the name that they are
// known by. Remembers some; one thread at a time.
class DepartedStandings {
 public:
  // What it had when it went, or a new one. Forgets it.
  Standing Returned(const std::string& name, const Standing::Options& options);
  bool Knows(const std::string& name) const { return standings_.contains(name); }
  void Left(const std::string& name, const Standing& standing);

 private:
  std::map<std::string, Standing> standings_;
};

// Where a piece of work was tried without success, by names of peers: it goes elsewhere first, and
// back to them after waits that grow, so that a healthy peer has time to come. No clock of its own;
// one thread at a time.
class TriedAt {
 public:
  struct Options {
    int errors_max = 3;  // So few errors give no work up.
    // Before work goes back to who failed with it; twice as long each time.
    std::chrono::nanoseconds wait_min = std::chrono::seconds(1);
    // Errors are spread over so long before they give work up.
    std::chrono::nanoseconds span = std::chrono::seconds(30);
  };
  void Add(const std::string& name) { names_.insert(name); }
  // It reported an error.
  void Failed(const std::string& name, std::chrono::nanoseconds now, const Options& options);
  int errors() const { return errors_; }
  // When it may go back to who has tried it.
  std::chrono::nanoseconds again() const { return again_; }
  // Often enough, and for long enough.
  bool IsGivenUp(std::chrono::nanoseconds now, const Options& options) const {
    return errors_ >= options.errors_max && now - first_error_ >= options.span;
  }
  bool Has(const std::string& name) const { return names_.contains(name); }
  bool empty() const { return names_.empty(); }
  size_t size() const { return names_.size(); }

  // Whether some of `peers`, the values of a map, could still try it: may_have(peer) says that it
  // could get such work at all, name_of(peer) what it is known by.
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
