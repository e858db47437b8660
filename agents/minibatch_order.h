// Permutations of a segment's steps for the epochs of an update, from counters
// (methods/ppo/README.md#random-numbers). Element i of epoch e has the 64-bit key Bits(e, i); steps
// are sorted by (key, i). Pure; threads may share.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/rng.h"

namespace mentor::agents {

// Fills `order` (T elements) for one agent of the batch and one epoch. Several threads may call it.
using MinibatchOrder =
    std::function<void(int64_t agent_index, int64_t epoch, std::span<int64_t> order)>;

void Permutation(const RandomStream& stream, uint32_t epoch, std::span<int64_t> order);

// One stream for each agent: purpose kMinibatchOrder, its lifetime's number, this iteration.
MinibatchOrder KeyedOrder(uint64_t seed, Phase phase, uint32_t iteration,
                          std::vector<uint32_t> lifetimes);

}  // namespace mentor::agents
