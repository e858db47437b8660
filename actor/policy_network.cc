#include "actor/policy_network.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/str_format.h>

#include "actor/episodic_network.h"
#include "common/cell_memory.h"
#include "common/check.h"
#include "common/exact_math.h"

namespace mentor::actor {
namespace {

using Eigen::Index;
using Eigen::MatrixXf;
using Eigen::VectorXf;
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Observation = Eigen::Map<const VectorXf>;

constexpr int kLanes = 8;  // Number of float32 in a vector register of x86-64-v3.
// Limits of an episodic memory.
constexpr double kRadiusMax = 1e300;
constexpr uint32_t kCapacityMax = 1'000'000;

Index Padded(Index size) {
  return (size + kLanes - 1) / kLanes * kLanes;
}

// Reads consecutive tensors from the received numbers.
class Reader {
 public:
  explicit Reader(std::span<const float> values) : values_(values) {}

  // [rows, columns], with zeros up to the padded sizes.
  MatrixXf Matrix(Index rows, Index columns, Index padded_rows, Index padded_columns) {
    MatrixXf matrix = MatrixXf::Zero(padded_rows, padded_columns);
    matrix.topLeftCorner(rows, columns) =
        Eigen::Map<const RowMajor>(Take(rows * columns), rows, columns);
    return matrix;
  }
  VectorXf Vector(Index size, Index padded_size) {
    VectorXf vector = VectorXf::Zero(padded_size);
    vector.head(size) = Eigen::Map<const VectorXf>(Take(size), size);
    return vector;
  }
  bool done() const { return values_.empty(); }

 private:
  const float* Take(Index count) {
    const float* taken = values_.data();
    values_ = values_.subspan(static_cast<size_t>(count));
    return taken;
  }
  std::span<const float> values_;
};

struct Affine {
  MatrixXf w;
  VectorXf b;

  Affine(Reader* reader, Index rows, Index columns, Index padded_rows, Index padded_columns)
      : w(reader->Matrix(rows, columns, padded_rows, padded_columns)),
        b(reader->Vector(rows, padded_rows)) {}

  template <typename Input>
  void Apply(const Input& input, VectorXf* output) const {
    *output = b;
    output->noalias() += w * input;
  }
};

void TanhInPlace(VectorXf* x) {
  *x = x->array().tanh();
}

void SetLogStd(const VectorXf& log_std, PolicyOutput* output) {
  output->log_std = log_std;
  output->std.resize(log_std.size());
  for (Index i = 0; i < log_std.size(); ++i)
    output->std[i] = static_cast<float>(exact::Exp(log_std[i]));
}

// Sets one log-std for all actions.
void FillLogStd(float log_std, PolicyOutput* output) {
  output->log_std.fill(log_std);
  output->std.fill(static_cast<float>(exact::Exp(log_std)));
}

struct Sizes {
  Index d = 0, h = 0, a = 0;
  bool discrete = false;
  Index e1 = 0, e2 = 0, lstm = 0, heads = 0;  // Recurrent networks only.
  std::optional<v1::EpisodicMemory> memory = {};
};

// W1, b1, W2, b2, W3, b3 and logstd: mean = W3 tanh(W2 tanh(W1 o + b1) + b2) + b3.
struct Mlp : PolicyNetwork {
  Affine layer1, layer2, layer3;
  VectorXf hidden1, hidden2;

  Mlp(const Sizes& n, Reader* reader, PolicyOutput* output)
      : layer1(reader, n.h, n.d, Padded(n.h), n.d),
        layer2(reader, n.h, n.h, Padded(n.h), Padded(n.h)),
        layer3(reader, n.a, n.h, n.a, Padded(n.h)) {
    SetLogStd(n.discrete ? VectorXf() : reader->Vector(n.a, n.a), output);
  }
  static Index Count(const Sizes& n) {
    return n.h * n.d + n.h + n.h * n.h + n.h + n.a * n.h + n.a + (n.discrete ? 0 : n.a);
  }

  void Forward(std::span<const float> observation, PolicyOutput* output) override {
    const Observation o(observation.data(), static_cast<Index>(observation.size()));
    layer1.Apply(o, &hidden1);
    TanhInPlace(&hidden1);
    layer2.Apply(hidden1, &hidden2);
    TanhInPlace(&hidden2);
    layer3.Apply(hidden2, &output->mean);
  }
};

// See methods/response_gradient/README.md#conditional-layer-normalisation for conditional layer
// normalisation. With a = W2 h1 + b2, the second hidden layer is tanh(gain z + offset), where z =
// (a - mean(a)) / sqrt(var(a) + 1e-5). The variance is biased.
struct LayerNorm : Mlp {
  Index units;
  VectorXf gain, offset;

  LayerNorm(const Sizes& n, Reader* reader, PolicyOutput* output)
      : Mlp(n, reader, output),
        units(n.h),
        gain(reader->Vector(n.h, Padded(n.h))),
        offset(reader->Vector(n.h, Padded(n.h))) {}
  static Index Count(const Sizes& n) { return Mlp::Count(n) + 2 * n.h; }

  void Forward(std::span<const float> observation, PolicyOutput* output) override {
    const Observation o(observation.data(), static_cast<Index>(observation.size()));
    layer1.Apply(o, &hidden1);
    TanhInPlace(&hidden1);
    layer2.Apply(hidden1, &hidden2);
    Normalise();
    TanhInPlace(&hidden2);
    layer3.Apply(hidden2, &output->mean);
  }

  // Sums cover only the units, without the padding, in double. Gain and offset of the padding are
  // zero.
  void Normalise() {
    const auto n = static_cast<double>(units);
    double sum = 0, squares = 0;
    for (Index i = 0; i < units; ++i) sum += hidden2[i];
    const double mean = sum / n;
    for (Index i = 0; i < units; ++i) squares += (hidden2[i] - mean) * (hidden2[i] - mean);
    const double scale = 1 / std::sqrt(squares / n + 1e-5);
    for (Index i = 0; i < hidden2.size(); ++i) {
      const double z = (hidden2[i] - mean) * scale;
      hidden2[i] = static_cast<float>(gain[i] * z + offset[i]);
    }
  }
};

// MAML's network (methods/maml/README.md#maml): in addition to the mean, log std = S2 tanh(S1 o +
// c1) + c2, one number for all actions.
struct StateStd : Mlp {
  Affine std1, std2;
  VectorXf std_hidden, std_out;

  // The mean's network has no free log-std, as for discrete actions.
  StateStd(const Sizes& n, Reader* reader, PolicyOutput* output)
      : Mlp({.d = n.d, .h = n.h, .a = n.a, .discrete = true}, reader, output),
        std1(reader, n.h, n.d, Padded(n.h), n.d),
        std2(reader, 1, n.h, 1, Padded(n.h)) {
    SetLogStd(VectorXf::Zero(n.a), output);
  }
  static Index Count(const Sizes& n) {
    return n.h * n.d + n.h + n.h * n.h + n.h + n.a * n.h + n.a + n.h * n.d + n.h + n.h + 1;
  }

  void Forward(std::span<const float> observation, PolicyOutput* output) override {
    Mlp::Forward(observation, output);
    const Observation o(observation.data(), static_cast<Index>(observation.size()));
    std1.Apply(o, &std_hidden);
    TanhInPlace(&std_hidden);
    std2.Apply(std_hidden, &std_out);
    FillLogStd(std_out[0], output);
  }
};

// RL^2's network (methods/rl2/README.md#the-network). The input is x = [o, last action, q]. The
// side inputs of the last step are q = [success signal, end of the episode], all 0 at the beginning
// of a lifetime.
//   code1 = [relu(enc1 x), q], z = [relu(enc2 code1), q], h = LSTM(z),
//   mean = three layers, log std = two layers, tanh between them.
// The gates i, f, g, o are four padded blocks. A memory of episodes adds a fifth gate, r, which
// admits tanh(m) into the cell. Here m is the memory's answer at the beginning of the episode
// (methods/rl2/README.md#episodic-memory).
struct Recurrent final : PolicyNetwork {
  static constexpr Index kSide = 2;

  const Sizes n;
  const Index block;  // Padded size of the LSTM.
  Affine enc1, enc2;
  MatrixXf w_z, w_h;
  VectorXf b_gates;
  Affine mean1, mean2, mean3;
  std::vector<Affine> logstd;  // Two layers; none if actions are discrete.
  VectorXf x, code1, z, gates, h, c, hidden1, hidden2, log_std;
  std::optional<CellMemory<float>> memory;
  bool begins_episode = true;
  std::vector<float> context;  // Context of the current episode.
  VectorXf reinstated;         // tanh(m)

  Recurrent(const Sizes& n, Reader* reader, PolicyOutput* output)
      : n(n),
        block(Padded(n.lstm)),
        enc1(reader, n.e1, Inputs(n), n.e1, Inputs(n)),
        enc2(reader, n.e2, n.e1 + kSide, n.e2, n.e1 + kSide),
        w_z(Gates(reader, n.e2 + kSide, n.e2 + kSide)),
        w_h(Gates(reader, n.lstm, block)),
        b_gates(GateBias(reader) + GateBias(reader)),
        mean1(reader, n.heads, n.lstm, Padded(n.heads), block),
        mean2(reader, n.heads, n.heads, Padded(n.heads), Padded(n.heads)),
        mean3(reader, n.a, n.heads, n.a, Padded(n.heads)) {
    if (!n.discrete) {
      logstd.emplace_back(reader, n.heads, n.lstm, Padded(n.heads), block);
      logstd.emplace_back(reader, n.a, n.heads, n.a, Padded(n.heads));
    }
    SetLogStd(n.discrete ? VectorXf() : VectorXf::Zero(n.a), output);
    Begin();
  }
  static Index Inputs(const Sizes& n) { return n.d + n.a + kSide; }
  static Index NumGates(const Sizes& n) { return n.memory ? 5 : 4; }
  static Index Count(const Sizes& n) {
    return n.e1 * Inputs(n) + n.e1 + n.e2 * (n.e1 + kSide) + n.e2 +
           NumGates(n) * n.lstm * (n.e2 + kSide + n.lstm + 2) + n.heads * n.lstm + n.heads +
           n.heads * n.heads + n.heads + n.a * n.heads + n.a +
           (n.discrete ? 0 : n.heads * n.lstm + n.heads + n.a * n.heads + n.a);
  }

  MatrixXf Gates(Reader* reader, Index columns, Index padded_columns) const {
    MatrixXf padded(NumGates(n) * block, padded_columns);
    for (Index gate = 0; gate < NumGates(n); ++gate) {
      padded.middleRows(gate * block, block) =
          reader->Matrix(n.lstm, columns, block, padded_columns);
    }
    return padded;
  }
  VectorXf GateBias(Reader* reader) const {
    VectorXf padded(NumGates(n) * block);
    for (Index gate = 0; gate < NumGates(n); ++gate)
      padded.segment(gate * block, block) = reader->Vector(n.lstm, block);
    return padded;
  }

  void Begin() override {
    x.setZero(Inputs(n));
    h.setZero(block);
    c.setZero(block);
    begins_episode = true;
    memory.reset();
    if (n.memory) memory.emplace(n.memory->radius(), n.memory->capacity());
  }
  void Remember(std::span<const float> action, float success_signal, bool done) override {
    x.segment(n.d, n.a) = Observation(action.data(), n.a);
    x[n.d + n.a] = success_signal;
    x[n.d + n.a + 1] = done ? 1 : 0;
    if (!memory || !done || begins_episode) return;
    memory->Add(context, {c.data(), static_cast<size_t>(n.lstm)});
    begins_episode = true;
  }
  void BeginEpisode(std::span<const float> observation) {
    begins_episode = false;
    const auto first = observation.first(n.memory->context_size());
    context.assign(first.begin(), first.end());
    if (n.memory->reset_at_episode()) {
      h.setZero(block);
      c.setZero(block);
    }
    reinstated.setZero(block);
    const std::span<const float> found = memory->Find(context);
    std::copy(found.begin(), found.end(), reinstated.data());
    TanhInPlace(&reinstated);
  }

  void Forward(std::span<const float> observation, PolicyOutput* output) override {
    x.head(n.d) = Observation(observation.data(), n.d);
    if (memory && begins_episode) BeginEpisode(observation);
    Encode(enc1, x, &code1);
    Encode(enc2, code1, &z);
    gates = b_gates;
    gates.noalias() += w_z * z;
    gates.noalias() += w_h * h;
    // sigmoid(y) = (1 + tanh(y / 2)) / 2, so that all gates use tanh. A padded unit has c = 0.
    const auto gate = [&](Index index) { return gates.segment(index * block, block).array(); };
    gates.head(2 * block) = (0.5f * gates.head(2 * block).array()).tanh();
    gates.segment(2 * block, block) = gate(2).tanh();
    gates.segment(3 * block, block) = (0.5f * gate(3)).tanh();
    c = (0.5f + 0.5f * gate(1)) * c.array() + (0.5f + 0.5f * gate(0)) * gate(2);
    if (memory) {
      gates.tail(block) = (0.5f * gate(4)).tanh();
      c.array() += (0.5f + 0.5f * gate(4)) * reinstated.array();
    }
    h = c.array().tanh();
    h = (0.5f + 0.5f * gate(3)) * h.array();

    mean1.Apply(h, &hidden1);
    TanhInPlace(&hidden1);
    mean2.Apply(hidden1, &hidden2);
    TanhInPlace(&hidden2);
    mean3.Apply(hidden2, &output->mean);
    if (n.discrete) return;
    logstd[0].Apply(h, &hidden1);
    TanhInPlace(&hidden1);
    logstd[1].Apply(hidden1, &log_std);
    SetLogStd(log_std, output);
  }

  // [relu(layer input), q]
  void Encode(const Affine& layer, const VectorXf& input, VectorXf* code) {
    layer.Apply(input, &hidden1);
    code->resize(hidden1.size() + kSide);
    code->head(hidden1.size()) = hidden1.array().max(0.0f);
    code->tail(kSide) = x.tail(kSide);
  }
};

template <typename Network>
absl::StatusOr<std::unique_ptr<PolicyNetwork>> Make(const Sizes& sizes,
                                                    const v1::PolicyWeights& weights,
                                                    const std::string& names,
                                                    PolicyOutput* output) {
  const auto count = static_cast<size_t>(Network::Count(sizes));
  if (weights.weights().size() != count * sizeof(float)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("policy: weights have %d bytes, sizes %s need %d", weights.weights().size(),
                        names, count * sizeof(float)));
  }
  std::vector<float> values(count);
  std::memcpy(values.data(), weights.weights().data(), weights.weights().size());
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i]))
      return absl::InvalidArgumentError(absl::StrFormat("policy: weight %d is not finite", i));
  }
  Reader reader(values);
  auto network = std::make_unique<Network>(sizes, &reader, output);
  MENTOR_CHECK(reader.done());
  output->mean.resize(sizes.a);
  return network;
}

absl::Status CheckMemory(const v1::PolicyWeights& weights) {
  const v1::EpisodicMemory& memory = weights.recurrent().memory();
  if (!(memory.radius() >= 0 && memory.radius() <= kRadiusMax)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "policy: the radius of its memory is %g; it must be 0 to %g", memory.radius(), kRadiusMax));
  }
  if (memory.capacity() < 1 || memory.capacity() > kCapacityMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("policy: the capacity of its memory is %d; it must be 1 to %d",
                        memory.capacity(), kCapacityMax));
  }
  if (memory.context_size() < 1 || memory.context_size() > weights.observation_size()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "policy: contexts of its memory have %d numbers; they must have 1 to %d, those of an "
        "observation",
        memory.context_size(), weights.observation_size()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyNetwork>> MakePolicyNetwork(const v1::PolicyWeights& weights,
                                                                 PolicyOutput* output) {
  if (weights.network() == v1::POLICY_NETWORK_EPISODIC) return MakeEpisodicNetwork(weights, output);
  const bool recurrent = weights.network() == v1::POLICY_NETWORK_RECURRENT;
  const v1::RecurrentSizes& r = weights.recurrent();
  std::vector<uint32_t> wanted = {weights.observation_size()};
  if (recurrent)
    wanted.insert(wanted.end(), {r.encoder1(), r.encoder2(), r.lstm(), r.heads()});
  else
    wanted.push_back(weights.hidden_units());
  wanted.push_back(weights.action_size());
  const auto names = [&](const char* separator) {
    std::string joined;
    for (const uint32_t size : wanted)
      absl::StrAppendFormat(&joined, "%s%d", joined.empty() ? "" : separator, size);
    return joined;
  };
  for (const uint32_t size : wanted) {
    if (size < 1 || size > kPolicySizeMax) {
      return absl::InvalidArgumentError(
          absl::StrFormat("policy: sizes %s; each must be 1 to %d", names(", "), kPolicySizeMax));
    }
  }
  if (recurrent && r.has_memory()) MENTOR_RETURN_IF_ERROR(CheckMemory(weights));
  const Sizes sizes{
      .d = weights.observation_size(),
      .h = weights.hidden_units(),
      .a = weights.action_size(),
      .discrete = weights.discrete(),
      .e1 = r.encoder1(),
      .e2 = r.encoder2(),
      .lstm = r.lstm(),
      .heads = r.heads(),
      .memory = recurrent && r.has_memory() ? std::optional(r.memory()) : std::nullopt};
  switch (weights.network()) {
    case v1::POLICY_NETWORK_MLP:
      return Make<Mlp>(sizes, weights, names("-"), output);
    case v1::POLICY_NETWORK_LAYER_NORM:
      return Make<LayerNorm>(sizes, weights, names("-"), output);
    case v1::POLICY_NETWORK_STATE_STD:
      if (sizes.discrete) {
        return absl::InvalidArgumentError(
            "policy: a network with a state-dependent std has no discrete actions");
      }
      return Make<StateStd>(sizes, weights, names("-"), output);
    case v1::POLICY_NETWORK_RECURRENT:
      return Make<Recurrent>(sizes, weights, names("-"), output);
    default:
      return absl::InvalidArgumentError(
          absl::StrFormat("policy: network %d is not known", weights.network()));
  }
}

}  // namespace mentor::actor
