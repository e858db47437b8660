#include "agents/minibatch_order.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "tests/testing.h"

namespace mentor::agents::TEST_FILE {

std::vector<int64_t> Order(const RandomStream& stream, uint32_t epoch, int64_t size) {
  std::vector<int64_t> order(size);
  Permutation(stream, epoch, order);
  return order;
}

const RandomStream kStream{
    .seed = 5, .purpose = Purpose::kMinibatchOrder, .lifetime = 3, .iteration = 1};

TEST_CASE("minibatch order: sorted by (key, index), as a plain sort has it", "[unit]") {
  for (int64_t size : {1, 2, 3, 22, 127, 128, 2000, 5000}) {
    std::vector<std::pair<uint64_t, int64_t>> keys;
    for (int64_t i = 0; i < size; ++i)
      keys.push_back({kStream.Bits(9, static_cast<uint32_t>(i)), i});
    std::sort(keys.begin(), keys.end());
    std::vector<int64_t> want;
    for (const auto& [key, index] : keys) want.push_back(index);
    CHECK(Order(kStream, 9, size) == want);
  }
}

TEST_CASE(
    "minibatch order: a permutation of its own for each epoch, agent, iteration, phase and seed",
    "[unit]") {
  constexpr int64_t kSize = 300;
  std::vector<std::vector<int64_t>> orders;
  for (uint32_t epoch : {0u, 1u}) {
    for (uint64_t seed : {1u, 2u}) {
      for (Phase phase : {Phase::kTraining, Phase::kTestEvaluation}) {
        for (uint32_t iteration : {0u, 1u}) {
          const MinibatchOrder order = KeyedOrder(seed, phase, iteration, {10, 11});
          for (int64_t agent : {0, 1}) {
            orders.emplace_back(kSize);
            order(agent, epoch, orders.back());
          }
        }
      }
    }
  }
  std::vector<int64_t> identity(kSize);
  std::iota(identity.begin(), identity.end(), 0);
  for (const std::vector<int64_t>& order : orders) {
    std::vector<int64_t> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == identity);
    CHECK(order != identity);
  }
  std::sort(orders.begin(), orders.end());
  CHECK(std::adjacent_find(orders.begin(), orders.end()) == orders.end());
  // The same agent elsewhere in a batch has the same order.
  std::vector<int64_t> first(kSize), second(kSize);
  KeyedOrder(1, Phase::kTraining, 0, {10, 11})(1, 0, first);
  KeyedOrder(1, Phase::kTraining, 0, {11})(0, 0, second);
  CHECK(first == second);
}

TEST_CASE("minibatch order: every place is as likely as any other", "[unit]") {
  // Counts of (element, place) over 2000 epochs of 8 elements: chi square with 49 degrees of
  // freedom, mean 49, standard deviation 10. The numbers are fixed, so this cannot flicker.
  constexpr int64_t kSize = 8, kEpochs = 2000;
  double count[kSize][kSize] = {};
  for (uint32_t epoch = 0; epoch < kEpochs; ++epoch) {
    const std::vector<int64_t> order = Order(kStream, epoch, kSize);
    for (int64_t place = 0; place < kSize; ++place) ++count[order[place]][place];
  }
  const double expected = static_cast<double>(kEpochs) / kSize;
  double chi_square = 0;
  for (const auto& row : count) {
    for (double c : row) chi_square += (c - expected) * (c - expected) / expected;
  }
  INFO("chi square " << chi_square);
  CHECK(chi_square > 20);
  CHECK(chi_square < 90);
}

}  // namespace mentor::agents::TEST_FILE
