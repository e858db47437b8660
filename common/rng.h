// Counter-based random numbers: Philox4x32-10 of Random123, keyed by their purpose. Generators have
// no state, so every number can be computed again, anywhere, in any order. Pure functions; threads
// may share everything here.
//
//   key     = 64-bit seed of the experiment
//   counter = (draw, step, purpose << 24 | phase << 20 | iteration, lifetime)
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace mentor {

// Purpose of a random number. Values are part of every result: never renumber.
enum class Purpose : uint32_t {
  kAgentWeights = 1,          // step = tensor number
  kEnvironmentReset = 2,      // step = episode number of the lifetime
  kActionNoise = 3,           // step = step of the lifetime
  kMinibatchOrder = 4,        // step = epoch
  kSignalNoise = 5,           // step = step of the lifetime
  kSignalWeights = 6,         // step = tensor number
  kTasks = 7,                 // lifetime = outer update
  kDisplacements = 8,         // lifetime = outer update
  kBootstrap = 9,             // intervals in reports
  kDomainRandomization = 10,  // once for each lifetime
  kPerturbation = 11,         // lifetime = half the lifetime's number; evolution strategies
  kResponseNoise = 12,        // step = part of a collection; rule response_gradient
  kTest = 15,
  kLatent = 16,       // step = episode of the lifetime
  kExploration = 17,  // step = step of the lifetime; draw 0: explore?, 1: which action, 2: ties
  kPopulation = 18,   // lifetime = outer update, step = member or child
  kReplay = 19,       // step = gradient step
  kSkill = 20,        // step = episode
  kCurriculum = 21,   // lifetime = outer update, step = lifetime in it
  kProjection = 22,   // step = tensor
  // Exploration bonuses: step = tensor; of the order, twice the epoch, plus 1 for who is left out.
  kBonusWeights = 40,
  kBonusOrder = 41,
};

// Each phase has its own numbers, so an evaluation never changes the training's.
enum class Phase : uint32_t { kTraining = 0, kTestEvaluation = 1, kTrainEvaluation = 2 };

struct RandomStream {
  uint64_t seed = 0;
  Purpose purpose = Purpose::kTest;
  Phase phase = Phase::kTraining;
  uint32_t lifetime = 0;
  uint32_t iteration = 0;  // Below 2^20.

  // Returns the four words of one counter value.
  std::array<uint32_t, 4> Block(uint32_t step, uint32_t draw) const;
  // Uniform in (0, 1): (w + 0.5) / 2^32 for word 0 of the block.
  double Uniform(uint32_t step, uint32_t draw) const;
  // Returns 64 bits: words 0 and 1 of the block.
  uint64_t Bits(uint32_t step, uint32_t draw) const;
  // Uniform in [0, n) with negligible bias (multiply-shift on 64 bits). n > 0.
  uint64_t Below(uint64_t n, uint32_t step, uint32_t draw) const;
  // Independent standard normals, by the inverse distribution function (exact_math.h). Element i
  // uses words 2 (i mod 2) and 2 (i mod 2) + 1 of block (step, first_draw + i / 2).
  void Normals(uint32_t step, std::span<double> out, uint32_t first_draw = 0) const;
};

// Orthogonal matrices from keyed normals (methods/ppo/README.md#initial-weights): the same bits on
// every machine.
//
// Returns [out, in], row-major, with W W^T = gain^2 I (out <= in) or W^T W = gain^2 I. The normals
// are stream.Normals(tensor_number, ...), as a row-major matrix of max(out, in) x min(out, in).
std::vector<double> OrthogonalMatrix(int64_t out, int64_t in, double gain,
                                     const RandomStream& stream, uint32_t tensor_number);

}  // namespace mentor
