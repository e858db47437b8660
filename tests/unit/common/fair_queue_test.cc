// The queue in virtual time: a thousand random histories, and the bounds that hold in all of them.
#include "common/fair_queue.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/rng.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

constexpr int kSeeds = 1000;

TEST_CASE("fair queue: shares follow the weights within 5 % after 200 turns, whatever turns cost",
          "[unit]") {
  const std::map<std::string, uint32_t> weights = {{"a", 1}, {"b", 2}, {"c", 4}};
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const RandomStream random{.seed = seed};
    FairQueue queue({});
    std::map<std::string, double> cost, served;
    uint32_t draw = 0;
    for (const auto& [name, weight] : weights) {
      queue.SetShare(name, {.weight = weight});
      cost[name] = 1 + random.Uniform(0, draw++);  // Up to twice another's.
    }
    double total = 0;
    for (int turn = 0; turn < 200; ++turn) {
      const std::string next = *queue.Next({"a", "b", "c"});
      queue.Charge(next, cost[next]);
      served[next] += cost[next];
      total += cost[next];
    }
    for (const auto& [name, weight] : weights) {
      INFO("seed " << seed << ", " << name);
      REQUIRE(std::abs(served[name] / total / (weight / 7.0) - 1) < 0.05);
    }
  }
}

TEST_CASE("fair queue: owners share alike, however many experiments they have", "[unit]") {
  FairQueue queue({});
  std::set<std::string> ready;
  for (int i = 0; i < 9; ++i) {
    const std::string name = "many" + std::to_string(i);
    queue.SetShare(name, {.owner = "ada", .weight = 100});
    ready.insert(name);
  }
  queue.SetShare("one", {.owner = "bob"});
  ready.insert("one");
  std::map<std::string, int> turns;
  for (int turn = 0; turn < 180; ++turn) {
    const std::string next = *queue.Next(ready);
    queue.Charge(next, 10);
    ++turns[next];
  }
  CHECK(turns["one"] == 90);
  for (int i = 0; i < 9; ++i) CHECK(turns["many" + std::to_string(i)] == 10);
}

TEST_CASE("fair queue: a higher class goes first, the lowest gets one turn in twenty", "[unit]") {
  FairQueue queue({.low_share = 0.05});
  queue.SetShare("high", {.priority = v1::PRIORITY_HIGH});
  queue.SetShare("normal", {.priority = v1::PRIORITY_NORMAL});
  queue.SetShare("low", {.priority = v1::PRIORITY_LOW});
  std::map<std::string, int> turns;
  int since_low = 0;
  for (int turn = 0; turn < 400; ++turn) {
    const std::string next = *queue.Next({"high", "normal", "low"});
    queue.Charge(next, 1);
    ++turns[next];
    since_low = next == "low" ? 0 : since_low + 1;
    REQUIRE(since_low < 20);
  }
  CHECK(turns["high"] == 380);
  CHECK(turns["low"] == 20);
  CHECK(turns["normal"] == 0);  // Strict.
  CHECK(*queue.Next({"normal"}) == "normal");
  CHECK(*queue.Next({"low"}) == "low");
  CHECK_FALSE(queue.Next({}));
  FairQueue strict({.low_share = 0});
  strict.SetShare("high", {.priority = v1::PRIORITY_HIGH});
  strict.SetShare("low", {.priority = v1::PRIORITY_LOW});
  for (int turn = 0; turn < 100; ++turn) CHECK(*strict.Next({"high", "low"}) == "high");
}

TEST_CASE("fair queue: a newcomer is neither ahead nor behind, and nobody hoards turns", "[unit]") {
  FairQueue queue({});
  queue.SetShare("old", {});
  for (int turn = 0; turn < 100; ++turn) queue.Charge(*queue.Next({"old"}), 1);
  queue.SetShare("new", {});
  std::string order;
  for (int turn = 0; turn < 6; ++turn) {
    const std::string next = *queue.Next({"old", "new"});
    queue.Charge(next, 1);
    order += next[0];
  }
  CHECK(std::count(order.begin(), order.end(), 'n') == 3);
  // "new" has no work for a long time; when it returns, it has saved 16 turns and no more.
  for (int turn = 0; turn < 1000; ++turn) queue.Charge(*queue.Next({"old"}), 1);
  int in_a_row = 0;
  while (*queue.Next({"old", "new"}) == "new") {
    queue.Charge("new", 1);
    ++in_a_row;
    REQUIRE(in_a_row < 100);
  }
  CHECK(in_a_row >= 15);
  CHECK(in_a_row <= 17);
}

// Random arrivals, ends, changes of weight and class, and spells with nothing to do.
TEST_CASE("fair queue: in any history the wait of whoever is ready has a bound", "[unit]") {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const RandomStream random{.seed = seed};
    FairQueue queue({});
    struct Client {
      Share share;
      int waited = 0;
    };
    std::map<std::string, Client> clients;
    for (uint32_t turn = 0; turn < 200; ++turn) {
      uint32_t draw = 0;
      const auto below = [&](uint64_t n) { return random.Below(n, turn, draw++); };
      const std::string name = "e" + std::to_string(below(6));
      switch (below(4)) {
        case 0:
          queue.Remove(name);
          clients.erase(name);
          break;
        case 1:
          clients[name].share = {.owner = below(2) == 0 ? "ada" : "bob",
                                 .priority = below(3) == 0 ? v1::PRIORITY_LOW : v1::PRIORITY_NORMAL,
                                 .weight = static_cast<uint32_t>(1 + below(4))};
          clients[name].waited = 0;
          queue.SetShare(name, clients[name].share);
          break;
        default:
          break;
      }
      std::set<std::string> ready;
      for (auto& [other, client] : clients) {
        if (below(4) > 0) {
          ready.insert(other);
        } else {
          client.waited = 0;
        }
      }
      const auto next = queue.Next(ready);
      REQUIRE(next.has_value() == !ready.empty());
      if (!next) continue;
      REQUIRE(ready.contains(*next));
      queue.Charge(*next, static_cast<double>(1 + below(4)));
      for (const std::string& other : ready) ++clients[other].waited;
      clients[*next].waited = 0;
      for (const auto& [other, client] : clients) {
        INFO("seed " << seed << ", turn " << turn << ", " << other);
        // At most 16 saved turns of each of five others, at four times the cost and weight, and
        // twenty times as long in the lowest class.
        REQUIRE(client.waited <=
                (client.share.priority == v1::PRIORITY_LOW ? 20 * 6 * 20 : 6 * 64));
      }
    }
  }
}

// The longest row of turns of an experiment against one other.
int TurnsInARow(FairQueue* queue, const std::string& name, const std::string& other) {
  int turns = 0;
  while (*queue->Next({name, other}) == name) {
    queue->Charge(name, 1);
    REQUIRE(++turns < 1000);
  }
  return turns;
}

TEST_CASE("fair queue: an owner comes back after long idleness at most 16 turns ahead", "[unit]") {
  FairQueue queue({});
  queue.SetShare("a", {.owner = "ada"});
  queue.SetShare("b", {.owner = "bob"});
  for (int turn = 0; turn < 10; ++turn) queue.Charge(*queue.Next({"a", "b"}), 1);
  for (int turn = 0; turn < 500; ++turn) queue.Charge(*queue.Next({"a"}), 1);
  const int turns = TurnsInARow(&queue, "b", "a");
  CHECK(turns >= 15);
  CHECK(turns <= 17);
  // The same for one of two experiments of an owner.
  queue.SetShare("c", {.owner = "ada"});
  for (int turn = 0; turn < 500; ++turn) queue.Charge(*queue.Next({"a"}), 1);
  const int own = TurnsInARow(&queue, "c", "a");
  CHECK(own >= 15);
  CHECK(own <= 17);
}

TEST_CASE("fair queue: new owners, and those that come again, are level with the others",
          "[unit]") {
  FairQueue queue({});
  queue.SetShare("a", {.owner = "ada"});
  for (int turn = 0; turn < 10; ++turn) queue.Charge(*queue.Next({"a"}), 1);
  queue.SetShare("b", {.owner = "bob"});
  CHECK(TurnsInARow(&queue, "b", "a") <= 1);
  // Its debts and its credit end with the last of its experiments.
  queue.Remove("b");
  for (int turn = 0; turn < 10; ++turn) queue.Charge(*queue.Next({"a"}), 1);
  queue.SetShare("b", {.owner = "bob"});
  CHECK(TurnsInARow(&queue, "b", "a") <= 1);
  queue.Charge("b", 10);
  queue.Remove("b");
  queue.SetShare("b", {.owner = "bob"});
  CHECK(TurnsInARow(&queue, "a", "b") <= 1);
}

TEST_CASE("fair queue: a class that changes counts from the next turn on", "[unit]") {
  FairQueue queue({.low_share = 0});
  queue.SetShare("a", {});
  queue.SetShare("b", {});
  queue.Charge("b", 1);
  CHECK(*queue.Next({"a", "b"}) == "a");
  queue.SetShare("b", {.priority = v1::PRIORITY_HIGH});
  CHECK(*queue.Next({"a", "b"}) == "b");
  queue.SetShare("b", {.priority = v1::PRIORITY_LOW});
  CHECK(*queue.Next({"a", "b"}) == "a");
}

TEST_CASE("fair queue: equal histories go on alike", "[unit]") {
  const auto history = [] {
    FairQueue queue({});
    std::string order;
    for (const char* name : {"c", "a", "b"}) queue.SetShare(name, {.owner = name});
    for (int turn = 0; turn < 30; ++turn) {
      const std::string next = *queue.Next({"a", "b", "c"});
      queue.Charge(next, turn % 3);
      order += next;
    }
    return order;
  };
  CHECK(history() == history());
  CHECK(history().substr(0, 1) == "a");  // Names decide ties.
}

TEST_CASE("fair queue: a new weight changes what comes, not what was served", "[unit]") {
  FairQueue queue({});
  queue.SetShare("a", {.weight = 1});
  queue.SetShare("b", {.weight = 1});
  for (int turn = 0; turn < 8; ++turn) queue.Charge("a", 1);
  // Owed as many, as before.
  queue.SetShare("b", {.weight = 2});
  int turns = 0;
  while (*queue.Next({"a", "b"}) == "b") {
    queue.Charge("b", 1);
    REQUIRE(++turns < 100);
  }
  CHECK(turns >= 15);
  CHECK(turns <= 17);
}

TEST_CASE("fair queue: names without a share are of the middle class, and weight 0 is 1",
          "[unit]") {
  FairQueue queue({.low_share = 0});
  queue.SetShare("high", {.priority = v1::PRIORITY_HIGH});
  queue.SetShare("low", {.priority = v1::PRIORITY_LOW});
  CHECK(*queue.Next({"unknown", "low"}) == "unknown");
  CHECK(*queue.Next({"unknown", "high"}) == "high");
  FairQueue weights({});
  weights.SetShare("none", {.weight = 0});
  weights.SetShare("one", {.weight = 1});
  std::map<std::string, int> turns;
  for (int turn = 0; turn < 20; ++turn) {
    const std::string next = *weights.Next({"none", "one"});
    weights.Charge(next, 1);
    ++turns[next];
  }
  CHECK(turns["none"] == 10);
  // The first name wins among equals.
  CHECK(*weights.Next({"none", "one"}) == "none");
  weights.Remove("nobody");  // Is nothing.
}

TEST_CASE("fair queue: owners are told apart within each class alone", "[unit]") {
  FairQueue queue({.low_share = 0});
  queue.SetShare("a", {.owner = "ada"});
  queue.SetShare("b", {.owner = "bob"});
  queue.SetShare("h", {.owner = "ada", .priority = v1::PRIORITY_HIGH});
  // Work of ada in the highest class is not charged to her account in the middle one.
  for (int turn = 0; turn < 10; ++turn) queue.Charge(*queue.Next({"a", "b", "h"}), 1);
  CHECK(*queue.Next({"a", "b"}) == "a");
  queue.Charge("a", 1);
  CHECK(*queue.Next({"a", "b"}) == "b");
}

TEST_CASE("fair queue: a share that came over the wire has a class and a weight", "[unit]") {
  v1::WorkShare share;
  CHECK(ToShare(share).priority == v1::PRIORITY_NORMAL);
  CHECK(ToShare(share).weight == 1);
  share.set_priority(static_cast<v1::Priority>(7));  // From a peer that lies, or is newer.
  CHECK(ToShare(share).priority == v1::PRIORITY_NORMAL);
  share = ToProto("a", {.owner = "ada", .priority = v1::PRIORITY_LOW, .weight = 9});
  CHECK(ToShare(share).owner == "ada");
  CHECK(ToShare(share).priority == v1::PRIORITY_LOW);
  CHECK(ToShare(share).weight == 9);
}

}  // namespace mentor::meta_learner::TEST_FILE
