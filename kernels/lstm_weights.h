// Sizes, parameter slices and packed weights of the LSTM signal network
// (methods/black_box/README.md#the-network). No tensors: pointers into flat arrays.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/device_code.h"
#include "kernels/dense.h"

namespace mentor::kernels {

struct LstmSizes {
  int64_t features = 0;  // D + A + side
  // The last features of a step, which enter three layers: density of the action, outcome (one
  // number or two), episode start, previous signal.
  int64_t side = 4;
  int64_t enc1 = 124;
  int64_t enc2 = 28;
  int64_t hidden = 128;  // H
  int64_t heads = 128;   // M
  int64_t critic = 512;  // C

  MENTOR_HD int64_t code1() const { return enc1 + side; }
  MENTOR_HD int64_t code2() const { return enc2 + side; }       // z
  MENTOR_HD int64_t joint() const { return code2() + hidden; }  // [z, h]: input of the gates
  // First layers of mean, logstd and critic side by side.
  MENTOR_HD int64_t first() const { return 2 * heads + critic; }
  int64_t NumWeights() const;

  static constexpr bool kFixed = false;

  // Names and shapes of the parameters in their order in the flat array.
  std::vector<std::pair<std::string, std::vector<int64_t>>> Parameters() const;
};

// The default sizes, known to the compiler.
template <int num_side>
struct FixedLstmSizes {
  static constexpr bool kFixed = true;
  static constexpr int64_t side = num_side, enc1 = 124, enc2 = 28, hidden = 128, heads = 128,
                           critic = 512;

  int64_t features = 0;

  MENTOR_HD static constexpr int64_t code1() { return enc1 + side; }
  MENTOR_HD static constexpr int64_t code2() { return enc2 + side; }
  MENTOR_HD static constexpr int64_t joint() { return code2() + hidden; }
  static bool Matches(const LstmSizes& s) {
    return s.side == side && s.enc1 == enc1 && s.enc2 == enc2 && s.hidden == hidden &&
           s.heads == heads && s.critic == critic;
  }
};

// The place of each parameter in a flat array of weights or gradients. T may be const.
template <typename T>
struct LstmSlices {
  LstmSlices(const LstmSizes& sizes, T* flat);

  T *enc1_w, *enc1_b, *enc2_w, *enc2_b;
  T *w_ih, *w_hh, *b_ih, *b_hh;
  T *mean_w1, *mean_b1, *mean_w2, *mean_b2, *mean_w3, *mean_b3;
  T *logstd_w1, *logstd_b1, *logstd_w2, *logstd_b2;
  T *critic_w1, *critic_b1, *critic_w2, *critic_b2;
};

// Weights in the order in which the products read them. Immutable after construction.
template <typename T>
struct LstmForwardWeights {
  LstmForwardWeights(const LstmSizes& sizes, const T* flat);

  LstmSizes sizes;
  PackedMatrix<T> enc1, enc2, gates, policy1, mean2, critic1;  // policy1: mean.W1 and logstd.W1
  AlignedVector<T> enc1_previous;  // [enc1]: the column of W1 for the previous signal
  AlignedVector<T> enc1_b, enc2_b, gates_b, policy1_b, mean2_b, mean3, logstd2, critic1_b, critic2;
  T mean3_b, logstd2_b, critic2_b;
};

// The same for products with the transposed weights.
template <typename T>
struct LstmBackwardWeights {
  LstmBackwardWeights(const LstmSizes& sizes, const T* flat);

  PackedMatrix<T> enc2;   // [enc2, enc1]
  PackedMatrix<T> gates;  // [4 H, enc2 + H]: no gradient flows to the side inputs
  PackedMatrix<T> mean2;  // [M, M]
  PackedMatrix<T> first;  // [2 M + C, H]
};

}  // namespace mentor::kernels
