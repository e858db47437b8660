// The two networks of an agent as blocks of threads compute them. Holds sizes, the place of arrays
// in the memory of one network, and the passes over the rows of a minibatch. Each pass is one
// thread's work between two barriers (phases.h). The bits of tanh_network.cc. Host and device.
#pragma once

#include "kernels/tile_products.h"

namespace mentor::agents {

// Sizes of one agent, known when compiling; `rows` of its largest minibatch. Its arrays lie in
// shared memory.
template <int kInputs, int kHidden, int kActions, int kRows>
struct FixedPpoSizes {
  static constexpr bool kShared = true;
  using Bounds = FixedPpoSizes;
  static constexpr int inputs = kInputs, hidden = kHidden, actions = kActions, rows = kRows;
};
// At most this many inputs, actions and rows; arrays lie in shared memory too.
template <int kInputs, int kHidden, int kActions, int kRows>
struct BoundedPpoSizes {
  static constexpr bool kShared = true;
  using Bounds = FixedPpoSizes<kInputs, kHidden, kActions, kRows>;
  static constexpr int hidden = kHidden, rows = kRows;
  int inputs, actions;
};
// Any sizes; the arrays lie in a workspace.
struct AnyPpoSizes {
  static constexpr bool kShared = false;
  using Bounds = AnyPpoSizes;
  int inputs, hidden, actions, rows;
};

// MetaWorld's agents with the defaults of the spec; Adam's moments fit too.
using CommonPpoSizes = FixedPpoSizes<39, 64, 4, 125>;
// As many inputs as fit.
using SharedPpoSizes = BoundedPpoSizes<111, 64, 8, 128>;

// Where the parameters of one network begin in its part of theta (AgentLayout in agent_shape.h),
// and where arrays begin in its memory. In elements, each at a multiple of four. The policy is the
// first network, the value the second.
template <class Sizes>
struct PpoLayout {
  Sizes sizes;

  MENTOR_HD constexpr int num_outputs(int network) const {
    return network == 0 ? sizes.actions : 1;
  }

  // Offsets in theta.
  MENTOR_HD constexpr int theta_b1() const { return sizes.hidden * sizes.inputs; }
  MENTOR_HD constexpr int theta_w2() const { return theta_b1() + sizes.hidden; }
  MENTOR_HD constexpr int theta_b2() const { return theta_w2() + sizes.hidden * sizes.hidden; }
  MENTOR_HD constexpr int theta_w3() const { return theta_b2() + sizes.hidden; }
  MENTOR_HD constexpr int theta_b3(int network) const {
    return theta_w3() + num_outputs(network) * sizes.hidden;
  }
  MENTOR_HD constexpr int theta_log_std() const { return theta_b3(0) + sizes.actions; }
  MENTOR_HD constexpr int num_params(int network) const {
    return network == 0 ? theta_log_std() + sizes.actions : theta_b3(1) + 1;
  }
  MENTOR_HD constexpr int num_params_of(int networks) const {
    return num_params(0) + (networks == 2 ? num_params(1) : 0);
  }

  // Offsets in memory. They depend only on the bounds.
  MENTOR_HD constexpr int input_stride() const { return kernels::tiles::Stride(most().inputs); }
  MENTOR_HD constexpr int hidden_stride() const { return kernels::tiles::Stride(most().hidden); }
  MENTOR_HD constexpr int output_stride() const { return kernels::tiles::Stride(most().actions); }

  MENTOR_HD constexpr int w1() const { return 0; }
  MENTOR_HD constexpr int w2() const { return w1() + Fours(most().hidden) * input_stride(); }
  MENTOR_HD constexpr int w3() const { return w2() + Fours(most().hidden) * hidden_stride(); }
  MENTOR_HD constexpr int b1() const { return w3() + Fours(most().actions) * hidden_stride(); }
  MENTOR_HD constexpr int b2() const { return b1() + Fours(most().hidden); }
  MENTOR_HD constexpr int b3() const { return b2() + Fours(most().hidden); }
  MENTOR_HD constexpr int log_std() const { return b3() + Fours(most().actions); }
  MENTOR_HD constexpr int inputs() const { return log_std() + Fours(most().actions); }
  MENTOR_HD constexpr int h1() const { return inputs() + rows() * input_stride(); }
  MENTOR_HD constexpr int h2() const { return h1() + rows() * hidden_stride(); }
  // The gradient of the first layer comes last and replaces h2.
  MENTOR_HD constexpr int first_grad() const { return h2(); }
  MENTOR_HD constexpr int outputs() const {
    const int h2_size = rows() * hidden_stride(), grad_size = Fours(first_size());
    return h2() + (h2_size > grad_size ? h2_size : grad_size);
  }
  // Gradients of the other parameters, in the order of theta.
  MENTOR_HD constexpr int rest_grad() const { return outputs() + rows() * output_stride(); }
  // Policy: actions [rows, A], log-probs and advantages. Value: returns and old values.
  MENTOR_HD constexpr int targets() const { return rest_grad() + Fours(rest_size()); }
  // Adam's moments, where they fit.
  MENTOR_HD constexpr int m() const {
    return targets() + Fours(most().rows * (most().actions + 2));
  }
  MENTOR_HD constexpr int v() const { return m() + Fours(first_size() + rest_size()); }
  MENTOR_HD constexpr int num_numbers(bool with_moments) const {
    return with_moments ? v() + Fours(first_size() + rest_size()) : m();
  }

  // Offsets in its memory of doubles: terms [chains, rows] of sums over the rows, the sums, 1 /
  // std.
  MENTOR_HD constexpr int terms() const { return 0; }
  MENTOR_HD constexpr int sums() const { return terms() + most_chains() * most().rows; }
  MENTOR_HD constexpr int inverse_std() const { return sums() + most_chains(); }
  MENTOR_HD constexpr int num_doubles() const { return inverse_std() + most().actions; }

  // Chains of the policy; the log stds' come last. The value has only the first one.
  static constexpr int kLossChain = 0, kKlChain = 1, kClippedChain = 2, kLogStdChain = 3;
  MENTOR_HD constexpr int num_chains(int network) const {
    return network == 0 ? kLogStdChain + sizes.actions : 1;
  }

  // Place of parameter i of a network in its memory.
  MENTOR_HD constexpr int MemoryOf(int network, int i) const {
    const int d = sizes.inputs, h = sizes.hidden;
    if (i < theta_b1()) return w1() + i / d * input_stride() + i % d;
    if (i < theta_w2()) return b1() + (i - theta_b1());
    if (i < theta_b2()) {
      return w2() + (i - theta_w2()) / h * hidden_stride() + (i - theta_w2()) % h;
    }
    if (i < theta_w3()) return b2() + (i - theta_b2());
    if (i < theta_b3(network)) {
      return w3() + (i - theta_w3()) / h * hidden_stride() + (i - theta_w3()) % h;
    }
    if (i < theta_b3(network) + num_outputs(network)) return b3() + (i - theta_b3(network));
    return log_std() + (i - theta_log_std());
  }

 private:
  MENTOR_HD constexpr typename Sizes::Bounds most() const {
    if constexpr (Sizes::kShared) {
      return {};
    } else {
      return sizes;
    }
  }
  // Counts of the policy's parameters: the first layer's, and the rest.
  MENTOR_HD constexpr int first_size() const { return most().hidden * (most().inputs + 1); }
  MENTOR_HD constexpr int rest_size() const {
    return (most().hidden + most().actions) * (most().hidden + 1) + most().actions;
  }
  MENTOR_HD constexpr int most_chains() const { return kLogStdChain + most().actions; }
  MENTOR_HD constexpr int rows() const {
    return kernels::tiles::RoundUp(most().rows, kernels::tiles::kRowsPadded);
  }
  MENTOR_HD static constexpr int Fours(int n) { return kernels::tiles::RoundUp(n, 4); }
};

// The memory of a network in the shared memory of a block; empty when it lies in a workspace.
template <typename T, class Sizes, bool with_moments>
struct NetworkMemory {
  alignas(16) T numbers[PpoLayout<Sizes>{}.num_numbers(with_moments)];
  double doubles[PpoLayout<Sizes>{}.num_doubles()];
};
template <typename T, bool with_moments>
struct NetworkMemory<T, AnyPpoSizes, with_moments> {};

// One network of an agent: its memory, and its passes over `rows` rows. Each pass is one phase; a
// share is this thread's part.
template <typename T, class Sizes>
struct PpoNetwork {
  PpoLayout<Sizes> at;
  int network;
  T* numbers;       // [num_numbers], at 16 bytes
  double* doubles;  // [num_doubles]

  using Share = kernels::tiles::Share;

  MENTOR_HD int num_params() const { return at.num_params(network); }
  MENTOR_HD int num_outputs() const { return at.num_outputs(network); }
  MENTOR_HD T* Param(int i) const { return numbers + at.MemoryOf(network, i); }
  MENTOR_HD T* Gradient(int i) const {
    return numbers +
           (i < at.theta_w2() ? at.first_grad() + i : at.rest_grad() + (i - at.theta_w2()));
  }
  MENTOR_HD T* Output(int row) const { return numbers + at.outputs() + row * at.output_stride(); }
  MENTOR_HD double* Terms(int chain) const { return doubles + at.terms() + chain * at.sizes.rows; }
  MENTOR_HD double* Sum(int chain) const { return doubles + at.sums() + chain; }
  MENTOR_HD T* Targets() const { return numbers + at.targets(); }

  MENTOR_HD void LoadParams(Share share, const T* theta) const {
    for (int i = share.first; i < num_params(); i += share.step) *Param(i) = theta[i];
  }

  // from(row) points to the inputs of this row.
  template <class From>
  MENTOR_HD void LoadInputs(Share share, int rows, const From& from) const {
    const int d = at.sizes.inputs;
    for (int i = share.first; i < rows * d; i += share.step)
      numbers[at.inputs() + i / d * at.input_stride() + i % d] = from(i / d)[i % d];
  }

  MENTOR_HD void FirstLayer(Share share, int rows) const {
    Layer(share, rows, at.sizes.inputs, Inputs(), {numbers + at.w1(), at.input_stride()}, at.b1(),
          at.h1());
  }
  MENTOR_HD void SecondLayer(Share share, int rows) const {
    Layer(share, rows, at.sizes.hidden, Hidden(at.h1()), {numbers + at.w2(), at.hidden_stride()},
          at.b2(), at.h2());
  }
  MENTOR_HD void OutputLayer(Share share, int rows) const {
    kernels::tiles::TimesTransposed<1, T>(
        share, rows, num_outputs(), at.sizes.hidden, Hidden(at.h2()),
        {numbers + at.w3(), at.hidden_stride()}, numbers + at.b3(),
        [&](int row, int column, T sum) { Output(row)[column] = sum; });
  }

  // The backward pass, in this order. Before it, outputs become their gradients. Gradients of
  // hidden layers, before their tanh, replace the activations.
  MENTOR_HD void OutputWeightsGradient(Share share, int rows) const {
    kernels::tiles::TransposedTimes<1, T>(share, num_outputs(), at.sizes.hidden, rows, Outputs(),
                                          Hidden(at.h2()), Gradient(at.theta_w3()));
  }
  MENTOR_HD void OutputBiasGradient(Share share, int rows) const {
    kernels::tiles::SumRows<T>(share, num_outputs(), rows, Outputs(),
                               Gradient(at.theta_b3(network)));
  }
  MENTOR_HD void SecondLayerGradient(Share share, int rows) const {
    TanhGradient(share, rows, num_outputs(), Outputs(), at.w3(), at.h2());
  }
  MENTOR_HD void SecondWeightsGradient(Share share, int rows) const {
    kernels::tiles::TransposedTimes<4, T>(share, at.sizes.hidden, at.sizes.hidden, rows,
                                          Hidden(at.h2()), Hidden(at.h1()),
                                          Gradient(at.theta_w2()));
  }
  MENTOR_HD void SecondBiasGradient(Share share, int rows) const {
    kernels::tiles::SumRows<T>(share, at.sizes.hidden, rows, Hidden(at.h2()),
                               Gradient(at.theta_b2()));
  }
  MENTOR_HD void FirstLayerGradient(Share share, int rows) const {
    TanhGradient(share, rows, at.sizes.hidden, Hidden(at.h2()), at.w2(), at.h1());
  }
  MENTOR_HD void FirstWeightsGradient(Share share, int rows) const {
    kernels::tiles::TransposedTimes<4, T>(share, at.sizes.hidden, at.sizes.inputs, rows,
                                          Hidden(at.h1()), Inputs(), Gradient(0));
  }
  MENTOR_HD void FirstBiasGradient(Share share, int rows) const {
    kernels::tiles::SumRows<T>(share, at.sizes.hidden, rows, Hidden(at.h1()),
                               Gradient(at.theta_b1()));
  }

 private:
  MENTOR_HD kernels::tiles::Rows<const T> Inputs() const {
    return {numbers + at.inputs(), at.input_stride()};
  }
  MENTOR_HD kernels::tiles::Rows<const T> Hidden(int offset) const {
    return {numbers + offset, at.hidden_stride()};
  }
  MENTOR_HD kernels::tiles::Rows<const T> Outputs() const {
    return {numbers + at.outputs(), at.output_stride()};
  }
  MENTOR_HD void Layer(Share share, int rows, int k_size, kernels::tiles::Rows<const T> in,
                       kernels::tiles::Rows<const T> weights, int bias, int out) const {
    T* h = numbers + out;
    const int stride = at.hidden_stride();
    kernels::tiles::TimesTransposed<kernels::tiles::kRows, T>(
        share, rows, at.sizes.hidden, k_size, in, weights, numbers + bias,
        [&](int row, int column, T sum) { h[row * stride + column] = kernels::scalar::Tanh(sum); });
  }
  MENTOR_HD void TanhGradient(Share share, int rows, int k_size,
                              kernels::tiles::Rows<const T> out_grad, int weights,
                              int hidden) const {
    T* h = numbers + hidden;
    const int stride = at.hidden_stride();
    kernels::tiles::Times<T>(share, rows, at.sizes.hidden, k_size, out_grad,
                             {numbers + weights, at.hidden_stride()},
                             [&](int row, int column, const Four<T>& sum) {
                               T* place = h + row * stride + column;
                               Four<T> x = Load4(place);
                               MENTOR_UNROLL for (int j = 0; j < 4; ++j) x.x[j] =
                                   sum.x[j] * kernels::scalar::Fma(-x.x[j], x.x[j], T{1});
                               Store4(place, x);
                             });
  }
};

}  // namespace mentor::agents
