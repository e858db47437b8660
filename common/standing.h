// How far a peer that takes work is trusted: what it delivered widens its window, work that it lost
// or failed narrows it, and a row of such strikes keeps it away for a while. No clock of its own;
// one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

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

}  // namespace mentor
