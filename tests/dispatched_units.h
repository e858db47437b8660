// A dispatcher, units and results for tests of UnitDispatcher.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "learner/rollout/unit_dispatcher.h"

namespace mentor::testing::units {

using learner::ActorId;
using learner::ToProto;
using learner::UnitDispatcher;
using learner::UnitKey;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using Outcome = UnitDispatcher::Outcome;

inline constexpr ActorId kFirst{1}, kSecond{2}, kThird{3};

struct FakeClock {
  nanoseconds time{0};
  void Advance(nanoseconds by) { time += by; }
};

// A dispatcher that checks nothing, at a time that the test sets.
struct Fixture {
  FakeClock clock;
  UnitDispatcher dispatcher{{.check_every = 0, .now = [this] { return clock.time; }}};
};

inline std::vector<v1::Unit> Units(uint64_t shard, uint32_t count) {
  std::vector<v1::Unit> units(count);
  for (uint32_t i = 0; i < count; ++i)
    *units[i].mutable_id() = ToProto({.shard = shard, .agent = i});
  return units;
}
inline UnitKey Key(uint64_t shard, uint32_t agent) {
  return {.shard = shard, .agent = agent};
}

inline v1::Result ResultOf(const UnitKey& key, const std::string& hash = "h") {
  v1::Result result;
  *result.mutable_id() = ToProto(key);
  result.set_result_hash(hash);
  return result;
}
inline v1::Result ErrorOf(const UnitKey& key, const std::string& error) {
  v1::Result result;
  *result.mutable_id() = ToProto(key);
  result.set_error(error);
  return result;
}

// Returns actor and agent of each assignment, like "1:0 1:1 2:0".
inline std::string Given(UnitDispatcher* dispatcher) {
  std::string text;
  for (const auto& a : dispatcher->Assign()) {
    if (!text.empty()) text += ' ';
    text += std::to_string(static_cast<uint64_t>(a.actor)) + ":" + std::to_string(a.key.shard) +
            "/" + std::to_string(a.key.agent);
  }
  return text;
}

}  // namespace mentor::testing::units
