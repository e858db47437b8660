// An epoch of an agent's PPO update (methods/ppo/README.md#the-update) as phases (phases.h): one
// source for a device and for its emulation (phase_trainers.cc). The bits of ppo_kernels.h and
// optimizer.h; parameters are in the order of AgentLayout (agent_shape.h). float for production,
// double for tests.
//
// An agent is one cluster. With two blocks the first has the policy, the second the value. They
// meet in the gradient's norm, whose chains run through the policy's parameters first. In a block,
// kWorkers threads share the products. 32 other threads run the chains that cannot be cut: sums
// over the rows and over the gradient.
#pragma once

#include <cmath>
#include <cstdint>

#include "agents/ppo_network.h"
#include "agents/trace_column.h"
#include "common/exact_math.h"
#include "kernels/adam_step.h"
#include "kernels/phases.h"
#include "kernels/ppo_terms.h"

namespace mentor::agents {

// Constants of an update (ppo_constants.h).
struct PpoConstants {
  kernels::AdamConfig adam;
  kernels::Surrogate surrogate;
  double value_coef, entropy_coef, advantage_epsilon;
  double max_grad_norm, target_kl;  // Infinite: unset.
  bool normalize_advantage, clip_value_loss;
};

enum class PpoStop : int32_t {
  kNone,
  kNonfinite,  // A loss or a norm was not finite: the agent stays as before the update.
  kTargetKl,
};

// What an agent carries between epochs, beside theta and moments.
struct PpoAgentState {
  int64_t adam_steps = 0;
  PpoStop stop = PpoStop::kNone;
};

// The data that S agents learn from, T rows each, and their state. Pointers to the device.
template <typename T>
struct PpoEpochData {
  PpoConstants constants;
  bool critic;
  int32_t steps;          // T
  int32_t minibatch;      // Rows; the last one may have fewer.
  const T* observations;  // [S, T, D]
  const T* actions;       // [S, T, A]
  const T* log_probs;     // [S, T]
  const T* advantages;    // [S, T]
  const T* returns;       // [S, T]; with a critic, as are values
  const T* values;        // [S, T]: before the update
  const uint32_t* order;  // [S, T]: of the epoch
  T *theta, *m, *v;       // [S, P]: changed in place; invalid when the agent stopped by kNonfinite
  PpoAgentState* states;  // [S]: agents that have stopped stay unchanged
  double* trace;          // [S, trace_rows, kNumTraceColumns]
  int64_t trace_rows, first_trace_row;  // Rows of the update, and rows before this epoch.
  // Memory of networks outside of shared memory: [S, 2, num_numbers], [S, 2, num_doubles].
  T* workspace;
  double* double_workspace;
};

template <typename T, class Sizes, int kBlocks, int kWorkers = 256>
class PpoEpoch {
 public:
  static constexpr int kChains = 32;  // Threads beside the workers.
  static constexpr int kThreads = kWorkers + kChains;
  static constexpr int kRanks = kBlocks;

 private:
  using Layout = PpoLayout<Sizes>;
  static_assert(kernels::kNormChains<T> <= kChains);
  // Networks of a block. Shared memory has room for one, so a critic needs two blocks there.
  static constexpr int kNetworks = Sizes::kShared ? 1 : 2 / kRanks;
  // A block has at most 227 KiB (compute capability 9.0); small things need some of it.
  static constexpr bool HasSharedMoments() {
    if constexpr (Sizes::kShared) return sizeof(NetworkMemory<T, Sizes, true>) <= 226 * 1024;
    return false;
  }
  static constexpr bool kSharedMoments = HasSharedMoments();

 public:
  struct Shared {
    NetworkMemory<T, Sizes, kSharedMoments> network;
    T norm_chains[kChains];
    // In the policy's block.
    double advantage_mean, advantage_scale, log_prob_offset, entropy;
    kernels::AdamStep<T> adam;  // In each block; without the scale.
    // In the last block.
    double last_kl;
    T scale;
    bool finite;
  };
  struct Registers {};

  PpoEpoch(const Sizes& sizes, const PpoEpochData<T>& data) : layout_{sizes}, data_(data) {}

  template <class Run>
  MENTOR_HD void Phases(int64_t agent, const Run& run) const {
    if (data_.states[agent].stop != PpoStop::kNone) return;
    const int64_t adam_steps = data_.states[agent].adam_steps;
    run.Block([&](const auto& t) {
      Load(t, agent);
      Gather(t, agent, 0, {t.tid, kThreads});
    });
    bool finite = true;
    int32_t step = 0;
    for (int32_t begin = 0; begin < data_.steps && finite; begin += data_.minibatch, ++step) {
      const int rows = RowsFrom(begin);
      Forward(agent, rows, adam_steps + step + 1, run);
      run.Block([&](const auto& t) {
        Networks(t, agent, [&](const Network& n) { Losses(t, n, rows); });
      });
      Backward(agent, rows, run);
      // The inputs are free: workers fetch the next ones while the chains run.
      run.Cluster([&](const auto& t) {
        if (t.tid < kWorkers) {
          Gather(t, agent, begin + rows, {t.tid, kWorkers});
        } else {
          NormChains(t, agent, 0);
        }
      });
      if (data_.critic) {
        run.Block([&](const auto& t) {
          if (t.tid >= kWorkers) NormChains(t, agent, 1);
        });
      }
      run.Cluster([&](const auto& t) { Finish(t, agent, rows, data_.first_trace_row + step); });
      run.Block([&](const auto& t) {
        finite = LastBlock(t).finite;
        if (finite) Adam(t, agent);
      });
    }
    run.Block([&](const auto& t) {
      if (finite) Keep(t, agent);
      if (t.tid != 0 || t.rank != LastRank()) return;
      PpoAgentState& state = data_.states[agent];
      state.adam_steps = adam_steps + step;
      if (!finite) {
        state.stop = PpoStop::kNonfinite;
      } else if (t.shared().last_kl > data_.constants.target_kl) {
        state.stop = PpoStop::kTargetKl;
      }
    });
  }

 private:
  using Thread = kernels::PhaseThread<PpoEpoch>;
  using Network = PpoNetwork<T, Sizes>;

  MENTOR_HD int num_networks() const { return data_.critic ? 2 : 1; }
  MENTOR_HD int num_params() const { return layout_.num_params_of(num_networks()); }
  MENTOR_HD static int RankOf(int network) { return network % kRanks; }
  // The block that ends a step: it holds the last network.
  MENTOR_HD int LastRank() const { return RankOf(num_networks() - 1); }
  MENTOR_HD Shared& LastBlock(const Thread& t) const { return *t.of[LastRank()]; }

  // A network in the shared memory of its block, or in the workspace.
  MENTOR_HD Network NetworkIn(Shared& block, int64_t agent, int network) const {
    if constexpr (Sizes::kShared) {
      return {layout_, network, block.network.numbers, block.network.doubles};
    } else {
      const int64_t place = agent * 2 + network;
      return {layout_, network, data_.workspace + place * layout_.num_numbers(false),
              data_.double_workspace + place * layout_.num_doubles()};
    }
  }
  // Calls work(network) for the networks of this block.
  template <class Work>
  MENTOR_HD void Networks(const Thread& t, int64_t agent, const Work& work) const {
    MENTOR_UNROLL for (int i = 0; i < kNetworks; ++i) {
      const int network = t.rank + i * kRanks;
      if (network < num_networks()) work(NetworkIn(t.shared(), agent, network));
    }
  }
  // Phases in which workers and chain threads do different work.
  template <class Run, class Work, class Chains>
  MENTOR_HD void Beside(int64_t agent, const Run& run, const Work& work,
                        const Chains& chains) const {
    run.Block([&](const auto& t) {
      Networks(t, agent, [&](const Network& n) {
        if (t.tid < kWorkers) {
          work(n, kernels::tiles::Share{t.tid, kWorkers});
        } else {
          chains(t, n, kernels::tiles::Share{t.tid - kWorkers, kChains});
        }
      });
    });
  }
  // Offset of this network's parameters, and of their moments, in the row of an agent [P].
  MENTOR_HD int64_t ParamsOf(int64_t agent, int network) const {
    return agent * num_params() + (network == 0 ? 0 : layout_.num_params(0));
  }

  MENTOR_HD void Load(const Thread& t, int64_t agent) const {
    Networks(t, agent, [&](const Network& n) {
      const int64_t first = ParamsOf(agent, n.network);
      n.LoadParams({t.tid, kThreads}, data_.theta + first);
      if constexpr (kSharedMoments) {
        for (int i = t.tid; i < n.num_params(); i += kThreads) {
          n.numbers[layout_.m() + i] = data_.m[first + i];
          n.numbers[layout_.v() + i] = data_.v[first + i];
        }
      }
    });
  }
  MENTOR_HD void Keep(const Thread& t, int64_t agent) const {
    Networks(t, agent, [&](const Network& n) {
      const int64_t first = ParamsOf(agent, n.network);
      for (int i = t.tid; i < n.num_params(); i += kThreads) {
        data_.theta[first + i] = *n.Param(i);
        if constexpr (kSharedMoments) {
          data_.m[first + i] = n.numbers[layout_.m() + i];
          data_.v[first + i] = n.numbers[layout_.v() + i];
        }
      }
    });
  }

  MENTOR_HD int RowsFrom(int begin) const {
    const int left = data_.steps - begin;
    return left < data_.minibatch ? left : data_.minibatch;
  }
  // Loads the minibatch that begins there in the order, if there is one.
  MENTOR_HD void Gather(const Thread& t, int64_t agent, int begin,
                        kernels::tiles::Share share) const {
    const int d = layout_.sizes.inputs, a = layout_.sizes.actions, all = layout_.sizes.rows;
    const int rows = RowsFrom(begin);
    const int64_t first = agent * data_.steps;
    const uint32_t* order = data_.order + first + begin;
    Networks(t, agent, [&](const Network& n) {
      n.LoadInputs(share, rows,
                   [&](int row) { return data_.observations + (first + order[row]) * d; });
      T* targets = n.Targets();
      if (n.network == 0) {
        for (int i = share.first; i < rows * a; i += share.step)
          targets[i] = data_.actions[(first + order[i / a]) * a + i % a];
      }
      for (int b = share.first; b < rows; b += share.step) {
        const int64_t row = first + order[b];
        if (n.network == 0) {
          targets[all * a + b] = data_.log_probs[row];
          targets[all * (a + 1) + b] = data_.advantages[row];
        } else {
          targets[b] = data_.returns[row];
          if (data_.constants.clip_value_loss) targets[all + b] = data_.values[row];
        }
      }
    });
  }
  MENTOR_HD const T* Advantages(const Network& policy) const {
    return policy.Targets() + layout_.sizes.rows * (layout_.sizes.actions + 1);
  }

  template <class Run>
  MENTOR_HD void Forward(int64_t agent, int rows, int64_t adam_step, const Run& run) const {
    Beside(
        agent, run,
        [&](const Network& n, kernels::tiles::Share share) { n.FirstLayer(share, rows); },
        [&](const Thread& t, const Network& n, kernels::tiles::Share share) {
          Shared& s = t.shared();
          if (share.first == 0) s.adam = kernels::AdamStep<T>(data_.constants.adam, adam_step, 1);
          if (n.network != 0) return;
          const int a = layout_.sizes.actions;
          const T* log_std = n.numbers + layout_.log_std();
          for (int j = share.first; j < a; j += share.step) {
            n.doubles[layout_.inverse_std() + j] =
                exact::inlined::Exp(-static_cast<double>(log_std[j]));
          }
          if (share.first == 1) {
            double offset = 0, entropy = 0;
            for (int j = 0; j < a; ++j) {
              offset -= log_std[j] + exact::kHalfLogTwoPi;
              entropy += log_std[j] + 0.5 + exact::kHalfLogTwoPi;
            }
            s.log_prob_offset = offset;
            s.entropy = entropy;
          }
          if (share.first == 2) s.advantage_mean = Mean(Advantages(n), rows);
        });
    // Advantages: two passes, unbiased.
    Beside(
        agent, run,
        [&](const Network& n, kernels::tiles::Share share) { n.SecondLayer(share, rows); },
        [&](const Thread& t, const Network& n, kernels::tiles::Share share) {
          if (n.network == 0 && share.first == 0) {
            Shared& s = t.shared();
            s.advantage_scale = InverseDeviation(Advantages(n), rows, s.advantage_mean);
          }
        });
    run.Block([&](const auto& t) {
      Networks(t, agent, [&](const Network& n) { n.OutputLayer({t.tid, kThreads}, rows); });
    });
  }
  MENTOR_HD double Mean(const T* x, int rows) const {
    double sum = 0;
    for (int b = 0; b < rows; ++b) sum += static_cast<double>(x[b]);
    return sum / rows;
  }
  MENTOR_HD double InverseDeviation(const T* x, int rows, double mean) const {
    double squares = 0;
    for (int b = 0; b < rows; ++b) squares += (x[b] - mean) * (x[b] - mean);
    return 1 / (std::sqrt(squares / (static_cast<double>(rows) - 1)) +
                data_.constants.advantage_epsilon);
  }

  // Terms of the sums over the rows; outputs become their gradients.
  MENTOR_HD void Losses(const Thread& t, const Network& n, int rows) const {
    for (int b = t.tid; b < rows; b += kThreads)
      n.network == 0 ? PolicyLoss(t.shared(), n, b, rows) : ValueLoss(n, b, rows);
  }
  // d log_prob / d mean = z / std and d log_prob / d log_std = z^2 - 1 with
  // z = (action - mean) / std.
  MENTOR_HD void PolicyLoss(const Shared& s, const Network& n, int b, int rows) const {
    const int a = layout_.sizes.actions;
    T* output = n.Output(b);
    const T* actions = n.Targets() + b * a;
    const double* inverse_std = n.doubles + layout_.inverse_std();
    const auto z = [&](int j) {
      return (static_cast<double>(actions[j]) - output[j]) * inverse_std[j];
    };
    double log_prob = s.log_prob_offset;
    for (int j = 0; j < a; ++j) log_prob -= 0.5 * z(j) * z(j);
    double advantage = Advantages(n)[b];
    if (data_.constants.normalize_advantage)
      advantage = (advantage - s.advantage_mean) * s.advantage_scale;
    const kernels::SurrogateStep step =
        kernels::EvaluateSurrogate(data_.constants.surrogate, log_prob,
                                   n.Targets()[layout_.sizes.rows * a + b], advantage, rows);
    n.Terms(Layout::kLossChain)[b] = step.loss;
    n.Terms(Layout::kKlChain)[b] = step.kl;
    n.Terms(Layout::kClippedChain)[b] = step.clipped;
    for (int j = 0; j < a; ++j) {
      const double z_j = z(j);
      n.Terms(Layout::kLogStdChain + j)[b] = step.d_log_prob * (z_j * z_j - 1);
      output[j] = static_cast<T>(step.d_log_prob * z_j * inverse_std[j]);
    }
  }
  MENTOR_HD void ValueLoss(const Network& n, int b, int rows) const {
    const PpoConstants& c = data_.constants;
    const double value = *n.Output(b), target = n.Targets()[b];
    const kernels::ValueStep step =
        c.clip_value_loss
            ? kernels::ClippedSquaredError(value, target, n.Targets()[layout_.sizes.rows + b],
                                           c.surrogate.clip)
            : kernels::SquaredError(value, target);
    n.Terms(Layout::kLossChain)[b] = 0.5 * step.square;
    *n.Output(b) = static_cast<T>(c.value_coef / rows * step.slope);
  }

  template <class Run>
  MENTOR_HD void Backward(int64_t agent, int rows, const Run& run) const {
    Beside(
        agent, run,
        [&](const Network& n, kernels::tiles::Share share) {
          n.OutputWeightsGradient(share, rows);
        },
        [&](const Thread&, const Network& n, kernels::tiles::Share share) {
          n.OutputBiasGradient(share, rows);
        });
    run.Block([&](const auto& t) {
      Networks(t, agent, [&](const Network& n) { n.SecondLayerGradient({t.tid, kThreads}, rows); });
    });
    Beside(
        agent, run,
        [&](const Network& n, kernels::tiles::Share share) {
          n.SecondWeightsGradient(share, rows);
        },
        [&](const Thread&, const Network& n, kernels::tiles::Share share) {
          Sums(n, share, rows);
          n.SecondBiasGradient(share, rows);
        });
    run.Block([&](const auto& t) {
      Networks(t, agent, [&](const Network& n) { n.FirstLayerGradient({t.tid, kThreads}, rows); });
    });
    Beside(
        agent, run,
        [&](const Network& n, kernels::tiles::Share share) { n.FirstWeightsGradient(share, rows); },
        [&](const Thread&, const Network& n, kernels::tiles::Share share) {
          n.FirstBiasGradient(share, rows);
        });
  }
  MENTOR_HD void Sums(const Network& n, kernels::tiles::Share share, int rows) const {
    const int chains = layout_.num_chains(n.network);
    for (int i = share.first; i < chains; i += share.step) {
      double sum = 0;
      for (int b = 0; b < rows; ++b) sum += n.Terms(i)[b];
      *n.Sum(i) = sum;
      if (i >= Layout::kLogStdChain) {
        *n.Gradient(layout_.theta_log_std() + (i - Layout::kLogStdChain)) =
            static_cast<T>(sum - data_.constants.entropy_coef);
      }
    }
  }

  // Chains of the squared norm, through the parameters of this network.
  MENTOR_HD void NormChains(const Thread& t, int64_t agent, int network) const {
    constexpr int k = kernels::kNormChains<T>;
    const int chain = t.tid - kWorkers;
    if (t.rank != RankOf(network) || chain >= k) return;
    const Network n = NetworkIn(t.shared(), agent, network);
    const int before = network == 0 ? 0 : layout_.num_params(0);
    const int in_chains = num_params() / k * k - before;
    const int end = in_chains < n.num_params() ? in_chains : n.num_params();
    T sum = network == 0 ? 0 : t.of[RankOf(network - 1)]->norm_chains[chain];
    MENTOR_UNROLL_BY(8)
    for (int i = (chain + k - before % k) % k; i < end; i += k) {
      const T g = *n.Gradient(i);
      sum = kernels::scalar::Fma(g, g, sum);
    }
    t.shared().norm_chains[chain] = sum;
  }

  // Fills the step's row of the trace. Decides whether the step is made, and with which scale.
  MENTOR_HD void Finish(const Thread& t, int64_t agent, int rows, int64_t trace_row) const {
    if (t.rank != LastRank() || t.tid != 0) return;
    const PpoConstants& c = data_.constants;
    Shared& s = t.shared();
    const Network policy = NetworkIn(*t.of[0], agent, 0), value = NetworkIn(s, agent, 1);
    double squares = kernels::SumOfNormChains(s.norm_chains);
    for (int i = num_params() / kernels::kNormChains<T> * kernels::kNormChains<T>; i < num_params();
         ++i) {
      const int i_value = i - layout_.num_params(0);
      const T g = i_value < 0 ? *policy.Gradient(i) : *value.Gradient(i_value);
      squares += static_cast<double>(g) * g;
    }
    const double norm = std::sqrt(squares), entropy = t.of[0]->entropy;
    const double policy_loss = *policy.Sum(Layout::kLossChain) / rows,
                 kl = *policy.Sum(Layout::kKlChain) / rows;
    double value_loss = 0, loss = policy_loss - c.entropy_coef * entropy;
    if (data_.critic) {
      value_loss = *value.Sum(Layout::kLossChain) / rows;
      loss += c.value_coef * value_loss;
    }
    double* row = data_.trace + (agent * data_.trace_rows + trace_row) * kNumTraceColumns;
    row[kLoss] = loss;
    row[kPolicyLoss] = policy_loss;
    row[kValueLoss] = value_loss;
    row[kEntropy] = entropy;
    row[kApproxKl] = kl;
    row[kClipFraction] = *policy.Sum(Layout::kClippedChain) / rows;
    row[kGradNorm] = norm;
    s.last_kl = kl;
    s.finite = std::isfinite(loss) && std::isfinite(norm);
    s.scale = static_cast<T>(kernels::ClipScale(norm, c.max_grad_norm));
  }

  MENTOR_HD void Adam(const Thread& t, int64_t agent) const {
    kernels::AdamStep<T> adam = t.shared().adam;
    adam.scale = LastBlock(t).scale;
    Networks(t, agent, [&](const Network& n) {
      const int64_t first = ParamsOf(agent, n.network);
      T *m = kSharedMoments ? n.numbers + layout_.m() : data_.m + first,
        *v = kSharedMoments ? n.numbers + layout_.v() : data_.v + first;
      MENTOR_UNROLL_BY(4)
      for (int i = t.tid; i < n.num_params(); i += kThreads)
        adam(*n.Gradient(i), n.Param(i), m + i, v + i);
    });
  }

  Layout layout_;
  PpoEpochData<T> data_;
};

}  // namespace mentor::agents
