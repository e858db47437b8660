// Sizes, parameter slices and packed weights of the LSTM signal network
// (methods/black_box/README.md#the-network). No tensors: pointers into flat arrays.
#pragma once

#include <cstdint>
#include <optional>
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
  // A second LSTM, with encoders of its own, runs backward (methods/black_box/README.md#lstm_both).
  bool both = false;

  MENTOR_HD int64_t code1() const { return enc1 + side; }
  MENTOR_HD int64_t code2() const { return enc2 + side; }       // z
  MENTOR_HD int64_t joint() const { return code2() + hidden; }  // [z, h]: input of the gates
  // What the heads read: [h of the LSTM that runs backward, h].
  MENTOR_HD int64_t seen() const { return both ? 2 * hidden : hidden; }
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
  bool both = false;

  MENTOR_HD static constexpr int64_t code1() { return enc1 + side; }
  MENTOR_HD static constexpr int64_t code2() { return enc2 + side; }
  MENTOR_HD static constexpr int64_t joint() { return code2() + hidden; }
  MENTOR_HD int64_t seen() const { return both ? 2 * hidden : hidden; }
  static bool Matches(const LstmSizes& s) {
    return s.side == side && s.enc1 == enc1 && s.enc2 == enc2 && s.hidden == hidden &&
           s.heads == heads && s.critic == critic;
  }
};

// The place of each parameter of encoders and LSTM in a flat array of weights or gradients. T may
// be const.
template <typename T>
struct LstmTrunkSlices {
  T *enc1_w, *enc1_b, *enc2_w, *enc2_b;
  T *w_ih, *w_hh, *b_ih, *b_hh;
};

// The same of the whole network.
template <typename T>
struct LstmSlices : LstmTrunkSlices<T> {
  LstmSlices(const LstmSizes& sizes, T* flat);

  T *mean_w1, *mean_b1, *mean_w2, *mean_b2, *mean_w3, *mean_b3;
  T *logstd_w1, *logstd_b1, *logstd_w2, *logstd_b2;
  T *critic_w1, *critic_b1, *critic_w2, *critic_b2;
  LstmTrunkSlices<T> later = {};  // The LSTM that runs backward, if there is one.
};

// Weights in the order in which the products read them: encoders and LSTM. Immutable after
// construction.
template <typename T>
struct LstmTrunkWeights {
  LstmTrunkWeights(const LstmSizes& sizes, const LstmTrunkSlices<const T>& w);

  LstmSizes sizes;
  PackedMatrix<T> enc1, enc2, gates;
  AlignedVector<T> enc1_previous;  // [enc1]: the column of W1 for the previous signal
  AlignedVector<T> enc1_b, enc2_b, gates_b;
};

// The whole network.
template <typename T>
struct LstmForwardWeights : LstmTrunkWeights<T> {
  LstmForwardWeights(const LstmSizes& sizes, const T* flat);

  PackedMatrix<T> policy1, mean2, critic1;  // policy1: mean.W1 and logstd.W1
  AlignedVector<T> policy1_b, mean2_b, mean3, logstd2, critic1_b, critic2;
  T mean3_b, logstd2_b, critic2_b;
  std::optional<LstmTrunkWeights<T>> later;

 private:
  LstmForwardWeights(const LstmSizes& sizes, const LstmSlices<const T>& w);
};

// The same for products with the transposed weights.
template <typename T>
struct LstmTrunkBackwardWeights {
  LstmTrunkBackwardWeights(const LstmSizes& sizes, const LstmTrunkSlices<const T>& w);

  PackedMatrix<T> enc2;   // [enc2, enc1]
  PackedMatrix<T> gates;  // [4 H, enc2 + H]: no gradient flows to the side inputs
};

template <typename T>
struct LstmBackwardWeights : LstmTrunkBackwardWeights<T> {
  LstmBackwardWeights(const LstmSizes& sizes, const T* flat);

  PackedMatrix<T> mean2;  // [M, M]
  PackedMatrix<T> first;  // [2 M + C, seen]
  std::optional<LstmTrunkBackwardWeights<T>> later;

 private:
  LstmBackwardWeights(const LstmSizes& sizes, const LstmSlices<const T>& w);
};

}  // namespace mentor::kernels
