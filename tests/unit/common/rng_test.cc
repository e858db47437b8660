#include "common/rng.h"

#include <cmath>
#include <set>
#include <vector>

#include "tests/testing.h"

namespace mentor::TEST_FILE {

TEST_CASE("rng: blocks are Philox4x32-10 of the documented counter and key", "[unit]") {
  // Known answers published with Random123.
  const RandomStream zero{.seed = 0, .purpose = static_cast<Purpose>(0)};
  CHECK(zero.Block(0, 0) ==
        std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const RandomStream pi{.seed = 0x299f31d0a4093822,
                        .purpose = static_cast<Purpose>(0x13),
                        .phase = static_cast<Phase>(1),
                        .lifetime = 0x03707344,
                        .iteration = 0x98a2e};
  const std::array<uint32_t, 4> words = pi.Block(/*step=*/0x85a308d3, /*draw=*/0x243f6a88);
  CHECK(words == std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  CHECK(pi.Bits(0x85a308d3, 0x243f6a88) == 0x94fdccebd16cfe09);
  CHECK(pi.Uniform(0x85a308d3, 0x243f6a88) == (0xd16cfe09 + 0.5) / 4294967296.0);
}

TEST_CASE("rng: every part of the key gives other numbers", "[unit]") {
  const RandomStream base{.seed = 7, .purpose = Purpose::kTest, .lifetime = 3, .iteration = 2};
  std::set<std::array<uint32_t, 4>> seen{base.Block(5, 1), base.Block(6, 1), base.Block(5, 2)};
  for (RandomStream other :
       {RandomStream{.seed = 8, .purpose = Purpose::kTest, .lifetime = 3, .iteration = 2},
        RandomStream{
            .seed = 7ull + (1ull << 32), .purpose = Purpose::kTest, .lifetime = 3, .iteration = 2},
        RandomStream{.seed = 7, .purpose = Purpose::kTasks, .lifetime = 3, .iteration = 2},
        RandomStream{.seed = 7,
        .purpose = Purpose::kTest,
        .phase = Phase::kTestEvaluation,
        .lifetime = 3,
        .iteration = 2},
        RandomStream{.seed = 7, .purpose = Purpose::kTest, .lifetime = 4, .iteration = 2},
        RandomStream{.seed = 7, .purpose = Purpose::kTest, .lifetime = 3, .iteration = 3}}) {
    seen.insert(other.Block(5, 1));
  }
  CHECK(seen.size() == 9);
}

TEST_CASE("rng: normals do not depend on how many are asked for at once", "[unit]") {
  const RandomStream stream{.seed = 11};
  std::vector<double> all(9), pair(2);
  stream.Normals(/*step=*/4, all);
  for (uint32_t i = 0; i < 4; ++i) {
    stream.Normals(4, pair, /*first_draw=*/i);
    CHECK(pair[0] == all[2 * i]);
    CHECK(pair[1] == all[2 * i + 1]);
  }
}

TEST_CASE("rng: moments of uniforms, normals and Below", "[unit]") {
  const RandomStream stream{.seed = 12};
  constexpr int n = 200000;
  std::vector<double> normals(n);
  stream.Normals(0, normals);
  double mean = 0, square = 0, fourth = 0, uniform = 0;
  std::vector<int> counts(6);
  for (int i = 0; i < n; ++i) {
    mean += normals[i] / n;
    square += normals[i] * normals[i] / n;
    fourth += std::pow(normals[i], 4) / n;
    uniform += stream.Uniform(1, i) / n;
    ++counts.at(stream.Below(6, 2, i));
  }
  // Five standard errors each.
  CHECK(std::abs(mean) < 5 / std::sqrt(n));
  CHECK(std::abs(square - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::abs(fourth - 3) < 5 * std::sqrt(96.0 / n));
  CHECK(std::abs(uniform - 0.5) < 5 * std::sqrt(1.0 / 12 / n));
  for (int count : counts) CHECK(std::abs(count - n / 6.0) < 5 * std::sqrt(n * 5.0 / 36));
}

}  // namespace mentor::TEST_FILE
