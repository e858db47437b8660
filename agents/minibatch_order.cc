#include "agents/minibatch_order.h"

#include <bit>
#include <utility>

#include "common/check.h"

namespace mentor::agents {

void Permutation(const RandomStream& stream, uint32_t epoch, std::span<int64_t> order) {
  struct Element {
    uint64_t key;
    int64_t index;
    bool operator<(const Element& other) const {
      return key != other.key ? key < other.key : index < other.index;
    }
  };
  const size_t size = order.size();
  if (size == 0) return;
  std::vector<Element> elements(size), sorted(size);
  // Keys are uniform, so a counting sort by their upper bits, about one element a bucket, leaves
  // little to the insertion sort.
  const int bits = std::bit_width(size);
  const int shift = 64 - bits;
  std::vector<uint32_t> begin((size_t{1} << bits) + 1);
  for (size_t i = 0; i < size; ++i) {
    elements[i] = {stream.Bits(epoch, static_cast<uint32_t>(i)), static_cast<int64_t>(i)};
    ++begin[(elements[i].key >> shift) + 1];
  }
  for (size_t b = 1; b < begin.size(); ++b) begin[b] += begin[b - 1];
  for (const Element& element : elements) sorted[begin[element.key >> shift]++] = element;
  for (size_t i = 1; i < size; ++i) {
    const Element element = sorted[i];
    size_t k = i;
    for (; k > 0 && element < sorted[k - 1]; --k) sorted[k] = sorted[k - 1];
    sorted[k] = element;
  }
  for (size_t i = 0; i < size; ++i) order[i] = sorted[i].index;
}

MinibatchOrder KeyedOrder(uint64_t seed, Phase phase, uint32_t iteration,
                          std::vector<uint32_t> lifetimes) {
  return [seed, phase, iteration, lifetimes = std::move(lifetimes)](
             int64_t agent_index, int64_t epoch, std::span<int64_t> order) {
    MENTOR_CHECK(agent_index >= 0 && agent_index < static_cast<int64_t>(lifetimes.size()));
    const RandomStream stream{seed, Purpose::kMinibatchOrder, phase, lifetimes[agent_index],
                              iteration};
    Permutation(stream, static_cast<uint32_t>(epoch), order);
  };
}

}  // namespace mentor::agents
