#include "common/rng.h"

#include <Random123/philox.h>

#include "common/check.h"
#include "common/exact_math.h"

namespace mentor {
namespace {

uint64_t Join(uint32_t low, uint32_t high) {
  return uint64_t{high} << 32 | low;
}

// Maps the upper 52 bits to a number strictly between 0 and 1, symmetric about one half. All steps
// are exact.
double OpenUnit(uint64_t bits) {
  return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
}

}  // namespace

std::array<uint32_t, 4> RandomStream::Block(uint32_t step, uint32_t draw) const {
  MENTOR_CHECK(iteration < (1u << 20));
  const uint32_t kind =
      static_cast<uint32_t>(purpose) << 24 | static_cast<uint32_t>(phase) << 20 | iteration;
  const r123::Philox4x32::ctr_type counter = {{draw, step, kind, lifetime}};
  const r123::Philox4x32::key_type key = {
      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}};
  const r123::Philox4x32::ctr_type words = r123::Philox4x32()(counter, key);
  return {words[0], words[1], words[2], words[3]};
}

double RandomStream::Uniform(uint32_t step, uint32_t draw) const {
  return (static_cast<double>(Block(step, draw)[0]) + 0.5) * 0x1p-32;
}

uint64_t RandomStream::Bits(uint32_t step, uint32_t draw) const {
  const std::array<uint32_t, 4> words = Block(step, draw);
  return Join(words[0], words[1]);
}

uint64_t RandomStream::Below(uint64_t n, uint32_t step, uint32_t draw) const {
  MENTOR_CHECK(n > 0);
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<uint64_t>(static_cast<Wide>(Bits(step, draw)) * n >> 64);
}

void RandomStream::Normals(uint32_t step, std::span<double> out, uint32_t first_draw) const {
  std::array<uint32_t, 4> words{};
  for (size_t i = 0; i < out.size(); ++i) {
    if (i % 2 == 0) words = Block(step, first_draw + static_cast<uint32_t>(i / 2));
    const size_t word = 2 * (i % 2);
    out[i] = exact::NormalQuantile(OpenUnit(Join(words[word], words[word + 1])));
  }
}

}  // namespace mentor
