// Pieces of truncated backpropagation through time (methods/black_box/README.md#outer-update).
// Pure; threads may share.
#pragma once

#include <cstdint>
#include <vector>

namespace mentor::meta_learner {

struct Piece {
  int64_t begin = 0;
  int64_t end = 0;  // One past the last step.
};

// Returns [0, displacement), then [displacement, n) cut into floor(n / k) - 1 parts. Their lengths
// differ by at most 1, longer ones first. n >= 2 k, 1 <= displacement <= k. Lengths are multiples
// of `unit` steps, as n and k are; the displacement is given in units.
std::vector<Piece> SplitIntoPieces(int64_t n, int64_t k, int64_t displacement, int64_t unit = 1);

// The pieces that SplitIntoPieces makes of n steps, for any displacement.
int64_t NumPieces(int64_t n, int64_t k);

// Steps of the longest piece that SplitIntoPieces makes of n steps, for any displacement.
int64_t GreatestPiece(int64_t n, int64_t k, int64_t unit = 1);

// The numbers of finished pieces after which an optimizer step follows: each piece (num_minibatches
// = 0), or floor(i num_pieces / m) for i = 1..m.
std::vector<int64_t> StepBoundaries(int64_t num_pieces, int64_t num_minibatches);

}  // namespace mentor::meta_learner
