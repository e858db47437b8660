#include "common/fair_queue.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace mentor {
namespace {

// Limits how many turns an idle experiment or owner can save up.
constexpr double kCreditTurns = 16;

}  // namespace

Share ToShare(const v1::WorkShare& share) {
  const bool known =
      v1::Priority_IsValid(share.priority()) && share.priority() != v1::PRIORITY_UNSPECIFIED;
  return {.owner = share.owner(),
          .priority = known ? share.priority() : v1::PRIORITY_NORMAL,
          .weight = std::max<uint32_t>(1, share.weight())};
}

v1::WorkShare ToProto(const std::string& experiment, const Share& share) {
  v1::WorkShare proto;
  proto.set_experiment(experiment);
  proto.set_owner(share.owner);
  proto.set_priority(share.priority);
  proto.set_weight(share.weight);
  return proto;
}

bool LowTurns::Take() {
  credit_ += share_;
  if (credit_ < 1 - 1e-9) return false;
  credit_ -= 1;
  return true;
}

void FairQueue::SetShare(const std::string& name, const Share& share) {
  const auto known = clients_.find(name);
  if (known != clients_.end()) {
    const bool moves =
        known->second.share.owner != share.owner || known->second.share.priority != share.priority;
    if (!moves) {
      known->second.share = share;
      return;
    }
    Remove(name);  // It joins its new owner or class as a newcomer.
  }
  // Level with the least served: a newcomer neither catches up on the others' past nor falls
  // behind.
  constexpr double kNone = std::numeric_limits<double>::infinity();
  double least = kNone, least_owner = kNone;
  for (const auto& [other, client] : clients_) {
    if (client.share.priority == share.priority && client.share.owner == share.owner)
      least = std::min(least, client.served);
  }
  for (const auto& [key, served] : owners_served_) {
    if (key.first == share.priority) least_owner = std::min(least_owner, served);
  }
  owners_served_.try_emplace({share.priority, share.owner}, least_owner == kNone ? 0 : least_owner);
  clients_[name] = {.share = share, .served = least == kNone ? 0 : least};
}

void FairQueue::Remove(const std::string& name) {
  const auto client = clients_.find(name);
  if (client == clients_.end()) return;
  const auto key = std::pair(client->second.share.priority, client->second.share.owner);
  clients_.erase(client);
  const bool last = std::none_of(clients_.begin(), clients_.end(), [&](const auto& other) {
    return std::pair(other.second.share.priority, other.second.share.owner) == key;
  });
  if (last) owners_served_.erase(key);
}

Share FairQueue::ShareOf(const std::string& name) const {
  const auto client = clients_.find(name);
  return client == clients_.end() ? Share() : client->second.share;
}

FairQueue::Client& FairQueue::ClientOf(const std::string& name) {
  if (!clients_.contains(name)) SetShare(name, Share());
  return clients_.at(name);
}

std::optional<std::string> FairQueue::Next(const std::set<std::string>& ready) {
  if (ready.empty()) return std::nullopt;
  v1::Priority highest = v1::PRIORITY_UNSPECIFIED, lowest = v1::PRIORITY_HIGH;
  for (const std::string& name : ready) {
    const v1::Priority priority = ClientOf(name).share.priority;
    highest = std::max(highest, priority);
    lowest = std::min(lowest, priority);
  }
  v1::Priority turn = highest;
  if (lowest == v1::PRIORITY_LOW && highest != v1::PRIORITY_LOW && low_turns_.Take())
    turn = v1::PRIORITY_LOW;
  LimitCredit(ready, turn);
  // The least served owner, then the least served of its experiments. Names break ties, so that
  // equal histories continue alike.
  const std::string* next = nullptr;
  std::tuple<double, std::string, double> least;
  for (const std::string& name : ready) {
    const Client& client = clients_.at(name);
    if (client.share.priority != turn) continue;
    const std::tuple<double, std::string, double> key = {
        owners_served_.at({turn, client.share.owner}), client.share.owner, client.served};
    if (next == nullptr || key < least) {
      next = &name;
      least = key;
    }
  }
  return *next;
}

void FairQueue::LimitCredit(const std::set<std::string>& ready, v1::Priority turn) {
  const double credit_max = kCreditTurns * largest_cost_;
  std::map<std::string, double> most;  // Most served experiment of each owner.
  double most_owner = 0;
  for (const std::string& name : ready) {
    const Client& client = clients_.at(name);
    if (client.share.priority != turn) continue;
    double& served = most[client.share.owner];
    served = std::max(served, client.served);
    most_owner = std::max(most_owner, owners_served_.at({turn, client.share.owner}));
  }
  for (const std::string& name : ready) {
    Client& client = clients_.at(name);
    if (client.share.priority != turn) continue;
    client.served = std::max(client.served, most.at(client.share.owner) - credit_max);
    double& owner = owners_served_.at({turn, client.share.owner});
    owner = std::max(owner, most_owner - credit_max);
  }
}

void FairQueue::Charge(const std::string& name, double cost) {
  Client& client = ClientOf(name);
  largest_cost_ = std::max(largest_cost_, cost);
  client.served += cost / std::max<uint32_t>(1, client.share.weight);
  owners_served_.at({client.share.priority, client.share.owner}) += cost;
}

}  // namespace mentor
