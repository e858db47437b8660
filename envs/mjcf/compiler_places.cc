#include "envs/mjcf/compiler_places.h"

#include <iterator>
#include <utility>

#include "common/pause_point.h"

namespace mentor::envs::mjcf {
namespace {

using Clock = std::chrono::steady_clock;

// Owners whose time is remembered; an owner without work is forgotten first.
constexpr size_t kOwnersMax = 64;

}  // namespace

CompilerPlaces::Place::Place(CompilerPlaces* places, std::string owner)
    : places_(places), owner_(std::move(owner)), begun_(Clock::now()) {}

CompilerPlaces::Place::Place(Place&& other) noexcept
    : places_(std::exchange(other.places_, nullptr)),
      owner_(std::move(other.owner_)),
      begun_(other.begun_) {}

CompilerPlaces::Place::~Place() {
  if (places_ == nullptr) return;
  places_->GiveBack(owner_, std::chrono::duration<double>(Clock::now() - begun_).count());
}

absl::StatusOr<CompilerPlaces::Place> CompilerPlaces::Take(const std::string& owner) {
  MutexLock lock(mutex_);
  if (known_.insert(owner).second) queue_.SetShare(owner, {.owner = owner});
  ++waiting_[owner];
  while (!IsTurnOf(owner)) {
    lock.Unlock();
    const absl::Status goes_on = PausePoint();
    lock.Lock();
    if (!goes_on.ok()) {
      Leave(owner);
      return absl::CancelledError(goes_on.message());  // The model is not at fault.
    }
    if (!IsTurnOf(owner)) changed_.WaitFor(lock, kLook);
  }
  --free_;
  ++held_[owner];
  Leave(owner);
  return Place(this, owner);
}

bool CompilerPlaces::IsTurnOf(const std::string& owner) {
  if (free_ == 0) return false;
  std::set<std::string> ready;
  for (const auto& [other, count] : waiting_) {
    const auto held = held_.find(other);
    if (other.empty() || held == held_.end() || held->second < each_) ready.insert(other);
  }
  return queue_.Next(ready) == owner;
}

void CompilerPlaces::Leave(const std::string& owner) {
  if (--waiting_.at(owner) == 0) waiting_.erase(owner);
  changed_.NotifyAll();  // It may be another one's turn now.
}

void CompilerPlaces::GiveBack(const std::string& owner, double seconds) {
  const MutexLock lock(mutex_);
  ++free_;
  if (--held_.at(owner) == 0) held_.erase(owner);
  queue_.Charge(owner, seconds);
  for (auto known = known_.begin(); known != known_.end() && known_.size() > kOwnersMax;) {
    const bool idle = !waiting_.contains(*known) && !held_.contains(*known);
    if (idle) queue_.Remove(*known);
    known = idle ? known_.erase(known) : std::next(known);
  }
  changed_.NotifyAll();
}

size_t CompilerPlaces::waiting() const {
  const MutexLock lock(mutex_);
  return waiting_.size();
}

}  // namespace mentor::envs::mjcf
