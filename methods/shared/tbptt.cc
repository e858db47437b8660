#include "methods/shared/tbptt.h"

#include <algorithm>

#include "common/check.h"

namespace mentor::meta_learner {

int64_t NumPieces(int64_t n, int64_t k) {
  return n / k;
}

std::vector<Piece> SplitIntoPieces(int64_t n, int64_t k, int64_t displacement, int64_t unit) {
  MENTOR_CHECK(unit >= 1 && n % unit == 0 && k % unit == 0);
  n /= unit;
  k /= unit;
  MENTOR_CHECK(k >= 1 && n >= 2 * k && displacement >= 1 && displacement <= k);
  std::vector<Piece> pieces = {{0, displacement}};
  const int64_t parts = NumPieces(n, k) - 1;
  const int64_t length = (n - displacement) / parts, longer = (n - displacement) % parts;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t begin = pieces.back().end;
    pieces.push_back({begin, begin + length + (i < longer ? 1 : 0)});
  }
  MENTOR_CHECK(pieces.back().end == n);
  for (Piece& piece : pieces) {
    piece.begin *= unit;
    piece.end *= unit;
  }
  return pieces;
}

int64_t GreatestPiece(int64_t n, int64_t k, int64_t unit) {
  const int64_t parts = NumPieces(n, k) - 1;
  return std::max(k, (n / unit - 1 + parts - 1) / parts * unit);
}

std::vector<int64_t> StepBoundaries(int64_t num_pieces, int64_t num_minibatches) {
  MENTOR_CHECK(num_minibatches >= 0 && num_minibatches <= num_pieces);
  const int64_t steps = num_minibatches == 0 ? num_pieces : num_minibatches;
  std::vector<int64_t> boundaries;
  for (int64_t i = 1; i <= steps; ++i) boundaries.push_back(i * num_pieces / steps);
  return boundaries;
}

}  // namespace mentor::meta_learner
