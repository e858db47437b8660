// Places of the compilers of models, since each may take the whole memory limit. Owners get them in
// turn, the one whose compilers took least time first, and one owner never has all of them. Owner
// "" stands for work of nobody in particular and may. Thread-safe.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>

#include <absl/status/statusor.h>

#include "common/fair_queue.h"
#include "common/mutex.h"

namespace mentor::envs::mjcf {

// Between two looks of work that waits whether it must end.
inline constexpr std::chrono::milliseconds kLook(100);

class CompilerPlaces {
 public:
  explicit CompilerPlaces(int places) : free_(places), each_(places > 1 ? places - 1 : 1) {}

  // A place; its end gives it back.
  class Place {
   public:
    Place(CompilerPlaces* places, std::string owner);
    Place(Place&& other) noexcept;
    Place& operator=(Place&&) = delete;
    ~Place();

   private:
    CompilerPlaces* places_;  // Null once moved from.
    std::string owner_;
    std::chrono::steady_clock::time_point begun_;
  };
  // Waits for a place. A pause point: returns CANCELLED when the work that waits must end.
  absl::StatusOr<Place> Take(const std::string& owner);

  // Owners that wait.
  size_t waiting() const;

 private:
  bool IsTurnOf(const std::string& owner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Leave(const std::string& owner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GiveBack(const std::string& owner, double seconds);

  // Guarded by mutex_.
  mutable Mutex mutex_;
  CondVar changed_;
  int free_ ABSL_GUARDED_BY(mutex_);
  const int each_;
  std::map<std::string, int> waiting_ ABSL_GUARDED_BY(mutex_), held_ ABSL_GUARDED_BY(mutex_);
  FairQueue queue_ ABSL_GUARDED_BY(mutex_){{}};          // Its names are owners.
  std::set<std::string> known_ ABSL_GUARDED_BY(mutex_);  // Owners in queue_.
};

}  // namespace mentor::envs::mjcf
