// Turns in virtual time: units that never end, units that take no time, and those that do not
// answer.
#include "common/turns.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "common/rng.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using std::chrono::milliseconds;
using Time = Turns::Time;

v1::WorkShare Of(const std::string& experiment, v1::Priority priority = v1::PRIORITY_NORMAL,
                 const std::string& owner = "ada", uint32_t weight = 1) {
  return ToProto(experiment, {.owner = owner, .priority = priority, .weight = weight});
}

// An actor in virtual time. Each experiment has units of one length; as they end, new ones come,
// with `ahead` in hand. Pause points come once a millisecond.
class Simulation {
 public:
  explicit Simulation(int places) : turns_({.places = places}) {}

  void Add(const v1::WorkShare& share, Time length, int ahead) {
    for (int i = 0; i < ahead; ++i) {
      lengths_[next_] = {share, length, {}};
      turns_.Add(next_++, share);
    }
    Fill();
  }
  void Run(Time span) {
    for (const Time end = now_ + span; now_ < end;) {
      now_ += milliseconds(1);
      if (now_.count() % 5'000'000 == 0) TakePlaces();
      std::set<Turns::Id> done, paused;
      for (const Turns::Id id : working_) {
        Unit& unit = lengths_.at(id);
        unit.worked += milliseconds(1);
        seconds_[unit.share.experiment()] += 1e-3;
        if (unit.worked >= unit.length) {
          done.insert(id);
        } else if (asked_.erase(id) > 0 && !turns_.GoesOn(id, now_)) {
          paused.insert(id);
        }
      }
      for (const Turns::Id id : paused) working_.erase(id);
      for (const Turns::Id id : done) {
        const Unit unit = lengths_.at(id);
        turns_.Remove(id, now_);
        lengths_.erase(id);
        working_.erase(id);
        asked_.erase(id);
        lengths_[next_] = {unit.share, unit.length, {}};
        turns_.Add(next_++, unit.share);
        TakePlaces();
      }
      Fill();
    }
  }
  // Returns the shares of time since the last call.
  double ShareOf(const std::string& experiment) {
    double all = 0;
    for (const auto& [name, seconds] : seconds_) all += seconds;
    return seconds_[experiment] / all;
  }
  void Forget() { seconds_.clear(); }

 private:
  struct Unit {
    v1::WorkShare share;
    Time length, worked;
  };
  void TakePlaces() {
    for (const Turns::Id id : turns_.TakePlaces(now_)) asked_.insert(id);
    Fill();
  }
  void Fill() {
    for (const Turns::Id id : turns_.FillPlaces(now_)) working_.insert(id);
  }

  Turns turns_;
  Time now_{0};
  Turns::Id next_ = 1;
  std::map<Turns::Id, Unit> lengths_;
  std::set<Turns::Id> working_, asked_;
  std::map<std::string, double> seconds_;
};

constexpr Time kForEver = std::chrono::hours(1);

TEST_CASE("turns: equal experiments get half each, however long their units are", "[unit]") {
  for (const int places : {1, 2, 3}) {
    Simulation actor(places);
    actor.Add(Of("long"), kForEver, 2 * places);
    actor.Run(std::chrono::seconds(2));  // It was alone, so no other experiment is owed time.
    actor.Forget();
    actor.Add(Of("short"), milliseconds(3), 2 * places);
    actor.Run(std::chrono::seconds(5));
    CHECK(actor.ShareOf("short") > 0.4);
    CHECK(actor.ShareOf("short") < 0.6);
  }
}

TEST_CASE("turns: a higher class goes first but for a small share of the lowest", "[unit]") {
  Simulation actor(2);
  actor.Add(Of("low", v1::PRIORITY_LOW), kForEver, 4);
  actor.Add(Of("high", v1::PRIORITY_HIGH), milliseconds(3), 4);
  actor.Run(std::chrono::seconds(5));
  CHECK(actor.ShareOf("high") > 0.8);
  CHECK(actor.ShareOf("low") > 0.01);
}

TEST_CASE("turns: the lowest class has its small share beside units of any length", "[unit]") {
  for (const Time length : {Time(milliseconds(3)), Time(milliseconds(500)), kForEver}) {
    Simulation actor(2);
    actor.Add(Of("low", v1::PRIORITY_LOW), milliseconds(20), 4);
    actor.Add(Of("long"), length, 4);
    actor.Run(std::chrono::seconds(20));
    INFO(std::chrono::duration<double>(length).count());
    CHECK(actor.ShareOf("low") > 0.02);
    CHECK(actor.ShareOf("low") < 0.2);
  }
}

TEST_CASE("turns: time goes by owners, then by weights", "[unit]") {
  Simulation actor(1);
  actor.Add(Of("a1", v1::PRIORITY_NORMAL, "ada", 3), milliseconds(40), 2);
  actor.Add(Of("a2", v1::PRIORITY_NORMAL, "ada", 1), kForEver, 2);
  actor.Add(Of("b", v1::PRIORITY_NORMAL, "bob"), milliseconds(1), 2);
  actor.Run(std::chrono::seconds(20));
  CHECK(std::abs(actor.ShareOf("b") - 0.5) < 0.1);
  CHECK(std::abs(actor.ShareOf("a1") - 0.375) < 0.08);
  CHECK(std::abs(actor.ShareOf("a2") - 0.125) < 0.05);
}

TEST_CASE("turns: one experiment alone keeps the order of its units, and is never asked",
          "[unit]") {
  Turns turns({.places = 2});
  for (const Turns::Id id : {1, 2, 3}) turns.Add(id, Of("a"));
  CHECK(turns.FillPlaces(Time{0}) == std::vector<Turns::Id>{1, 2});
  CHECK(turns.TakePlaces(milliseconds(50)).empty());
  CHECK_FALSE(turns.contended());
  CHECK(turns.waiting() == 1);
  turns.Remove(2, milliseconds(60));
  CHECK(turns.FillPlaces(milliseconds(60)) == std::vector<Turns::Id>{3});
  CHECK(turns.TimeAtWork(1, milliseconds(70)) == milliseconds(70));
  CHECK(turns.TimeAtWork(3, milliseconds(70)) == milliseconds(10));
}

TEST_CASE("turns: who has had enough loses its place at once, and waits at its pause point",
          "[unit]") {
  Turns turns({.places = 1});
  turns.Add(1, Of("silent"));
  CHECK(turns.FillPlaces(Time{0}) == std::vector<Turns::Id>{1});
  turns.Add(2, Of("other"));
  CHECK(turns.TakePlaces(milliseconds(10)) == std::vector<Turns::Id>{1});
  CHECK(turns.FillPlaces(milliseconds(10)) == std::vector<Turns::Id>{2});
  CHECK(turns.Computes(1));
  CHECK_FALSE(turns.HasPlace(1));
  CHECK_FALSE(turns.GoesOn(1, milliseconds(20)));  // Both would be more than there are places.
  CHECK_FALSE(turns.Computes(1));
  turns.Remove(2, milliseconds(30));
  CHECK(turns.FillPlaces(milliseconds(30)) == std::vector<Turns::Id>{1});
  // Without the ten milliseconds in which it waited.
  CHECK(turns.TimeAtWork(1, milliseconds(50)) == milliseconds(40));
}

TEST_CASE("turns: who comes to no pause point has its place again before others of its experiment",
          "[unit]") {
  Turns turns({.places = 1});
  turns.Add(1, Of("long"));
  turns.FillPlaces(Time{0});
  turns.Add(2, Of("long"));
  turns.Add(3, Of("quick", v1::PRIORITY_HIGH));
  CHECK(turns.TakePlaces(milliseconds(1)) == std::vector<Turns::Id>{1});
  CHECK(turns.FillPlaces(milliseconds(1)) == std::vector<Turns::Id>{3});
  turns.Remove(3, milliseconds(2));
  CHECK(turns.FillPlaces(milliseconds(2)).empty());  // It never stopped.
  CHECK(turns.HasPlace(1));
  CHECK(turns.GoesOn(1, milliseconds(3)));
  CHECK(turns.waiting() == 1);
}

TEST_CASE("turns: a thousand histories end with every unit done and no place too many", "[unit]") {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const RandomStream random{.seed = seed};
    Turns turns({.places = 3});
    std::set<Turns::Id> computing, known;
    Time now{0};
    Turns::Id next = 1;
    for (uint32_t step = 0; step < 200; ++step) {
      now += milliseconds(random.Below(60, step, 0));
      const uint64_t what = random.Below(5, step, 1);
      if (what == 0) {
        known.insert(next);
        turns.Add(next++, Of(std::string(1, static_cast<char>('a' + random.Below(4, step, 2)))));
      } else if (what == 1 && !known.empty()) {
        const Turns::Id id = *std::next(known.begin(), random.Below(known.size(), step, 2));
        turns.Remove(id, now);
        known.erase(id);
        computing.erase(id);
      } else if (what == 2 && !computing.empty()) {
        const Turns::Id id = *std::next(computing.begin(), random.Below(computing.size(), step, 2));
        if (!turns.GoesOn(id, now)) computing.erase(id);
      } else {
        turns.TakePlaces(now);
      }
      for (const Turns::Id id : turns.FillPlaces(now)) computing.insert(id);
      REQUIRE(turns.working() <= 3);
      for (const Turns::Id id : known) REQUIRE(turns.Computes(id) == computing.contains(id));
      REQUIRE((turns.waiting() == 0 || turns.working() == 3));
      REQUIRE(turns.working() == std::min<int>(3, static_cast<int>(computing.size())));
    }
  }
}

}  // namespace mentor::TEST_FILE
