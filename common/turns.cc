#include "common/turns.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace mentor {
namespace {

// Limit for remembered experiments, including those without units.
constexpr size_t kLinesMax = 64;
// Maximum charge for a stretch of work, in slices: experiments that waited for long do not get all
// of it back.
constexpr int kStretchSlices = 4;

}  // namespace

void Turns::Add(Id id, const v1::WorkShare& share) {
  const std::string& experiment = share.experiment();
  if (!lines_.contains(experiment) && lines_.size() >= kLinesMax) {
    std::erase_if(lines_, [&](const auto& line) {
      if (line.second.units == 0) queue_.Remove(line.first);
      return line.second.units == 0;
    });
  }
  queue_.SetShare(experiment, ToShare(share));
  const bool added = units_.emplace(id, Unit{.experiment = experiment}).second;
  MENTOR_CHECK(added);
  Line& line = lines_[experiment];
  line.fresh.push_back(id);
  if (line.units++ == 0) ++experiments_;
  ++waiting_;
}

void Turns::Charge(Unit* unit, Time now) {
  if (unit->state == State::kWaiting) return;
  const Time stretch = now - std::exchange(unit->since, now);
  unit->worked += stretch;
  const double seconds =
      std::chrono::duration<double>(std::min(stretch, kStretchSlices * options_.slice)).count();
  queue_.Charge(unit->experiment, seconds);
}

Turns::Time Turns::TimeAtWork(Id id, Time now) const {
  const Unit& unit = units_.at(id);
  return unit.worked + (unit.state == State::kWaiting ? Time{0} : now - unit.since);
}

void Turns::Remove(Id id, Time now) {
  const auto found = units_.find(id);
  MENTOR_CHECK(found != units_.end());
  Unit& unit = found->second;
  Charge(&unit, now);
  Line& line = lines_.at(unit.experiment);
  if (--line.units == 0) --experiments_;
  if (unit.state == State::kWaiting) {
    std::erase(unit.begun ? line.begun : line.fresh, id);
    --waiting_;
  } else if (unit.state == State::kWorking) {
    --working_;
  } else {
    std::erase(line.late, id);
  }
  units_.erase(found);
}

std::set<std::string> Turns::Ready() const {
  std::set<std::string> ready;
  for (const auto& [experiment, line] : lines_) {
    if (!line.empty()) ready.insert(experiment);
  }
  return ready;
}

void Turns::GiveBack(Line* line) {
  for (; !line->late.empty() && working_ < options_.places; ++working_) {
    units_.at(line->late.front()).state = State::kWorking;
    line->late.pop_front();
  }
}

std::vector<Turns::Id> Turns::FillPlaces(Time now) {
  std::vector<Id> chosen;
  while (waiting_ > 0 && working_ < options_.places) {
    Line& line = lines_.at(NextToWork());
    if (!line.late.empty()) {
      GiveBack(&line);
      continue;
    }
    std::deque<Id>& from = line.begun.empty() ? line.fresh : line.begun;
    const Id id = from.front();
    from.pop_front();
    --waiting_;
    ++working_;
    Unit& unit = units_.at(id);
    unit.state = State::kWorking;
    unit.begun = true;
    unit.since = now;
    chosen.push_back(id);
  }
  granted_.clear();
  for (auto& [experiment, line] : lines_) GiveBack(&line);
  return chosen;
}

std::string Turns::NextToWork() {
  while (!granted_.empty()) {
    const std::string experiment = std::move(granted_.front());
    granted_.pop_front();
    const auto line = lines_.find(experiment);
    if (line != lines_.end() && !line->second.empty()) return experiment;
  }
  return *queue_.Next(Ready());
}

bool Turns::GoesOn(Id id, Time now) {
  Unit& unit = units_.at(id);
  Charge(&unit, now);
  if (unit.state == State::kWorking) return true;
  Line& line = lines_.at(unit.experiment);
  std::erase(line.late, id);
  unit.state = State::kWaiting;
  line.begun.push_back(id);
  ++waiting_;
  return false;
}

std::vector<Turns::Id> Turns::TakePlaces(Time now) {
  std::vector<Id> asked;
  if (!contended()) return asked;
  std::set<std::string> ready = Ready();
  for (auto& [id, unit] : units_) {
    if (unit.state == State::kWaiting) continue;
    Charge(&unit, now);
    if (unit.state == State::kWorking) {
      const bool added = ready.insert(unit.experiment).second;
      const std::string next = ready.size() == 1 ? unit.experiment : *queue_.Next(ready);
      if (added) ready.erase(unit.experiment);
      if (next == unit.experiment) continue;
      granted_.push_back(next);
      unit.state = State::kLate;
      lines_.at(unit.experiment).late.push_back(id);
      --working_;
    }
    asked.push_back(id);
  }
  return asked;
}

}  // namespace mentor
