#include "signals/attention/attention_layers.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "common/check.h"

namespace mentor::signals {
namespace {

using torch::Tensor;

constexpr double kLayerNormEpsilon = 1e-5;
// Finite, so that no row of scores becomes NaN, and far below any score: its exponential is 0.
constexpr double kNoScore = -1e9;

// Reads parameters one after the other, in the order of Layout.
class Reader {
 public:
  explicit Reader(const std::vector<Tensor>& weights) : weights_(weights) {}
  Tensor Linear(const Tensor& x) {
    const Tensor y = torch::linear(x, weights_[next_], weights_[next_ + 1]);
    next_ += 2;
    return y;
  }
  // num_layers with ReLU between them; with `end`, after the last one too.
  Tensor Mlp(Tensor x, size_t num_layers, bool end) {
    for (size_t i = 0; i < num_layers; ++i) {
      x = Linear(x);
      if (end || i + 1 < num_layers) x = torch::relu(x);
    }
    return x;
  }
  Tensor LayerNorm(const Tensor& x) {
    const Tensor y = torch::layer_norm(x, {x.size(-1)}, weights_[next_], weights_[next_ + 1],
                                       kLayerNormEpsilon, /*cudnn_enable=*/false);
    next_ += 2;
    return y;
  }
  bool done() const { return next_ == weights_.size(); }

 private:
  const std::vector<Tensor>& weights_;
  size_t next_ = 0;
};

}  // namespace

agents::ParamLayout AttentionSizes::Layout() const {
  agents::NamedShapes parameters;
  const auto linear = [&](const std::string& weight, const std::string& bias, int64_t out,
                          int64_t in) {
    parameters.push_back({weight, {out, in}});
    parameters.push_back({bias, {out}});
  };
  const auto mlp = [&](const std::string& prefix, int64_t in, std::vector<int64_t> layers,
                       int64_t out) {
    layers.push_back(out);
    for (size_t i = 0; i < layers.size(); ++i) {
      linear(absl::StrCat(prefix, ".W", i + 1), absl::StrCat(prefix, ".b", i + 1), layers[i], in);
      in = layers[i];
    }
  };
  const auto norm = [&](const std::string& prefix) {
    parameters.push_back({absl::StrCat(prefix, ".ln.g"), {width}});
    parameters.push_back({absl::StrCat(prefix, ".ln.b"), {width}});
  };
  mlp("enc", inputs, encoder_hidden, width);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string prefix = absl::StrCat("blk.", i);
    if (blocks[i].attends) {
      for (const char* part : {".q", ".k", ".v", ".o"})
        linear(prefix + part + ".W", prefix + part + ".b", width, width);
      norm(prefix);
    } else {
      mlp(prefix, width, blocks[i].hidden, width);
      if (residual_mlp) norm(prefix);
    }
  }
  if (head_hidden) mlp("head", width, *head_hidden, outputs());
  return agents::ParamLayout(std::move(parameters));
}

Episodes::Episodes(const Tensor& prev_done) {
  const Tensor starts = prev_done.ne(0).to(torch::kCPU, torch::kUInt8).contiguous();
  MENTOR_CHECK(starts.dim() == 2 && starts.numel() > 0);
  const uint8_t* start = starts.const_data_ptr<uint8_t>();
  const int64_t num_lifetimes = starts.size(0), num_steps = starts.size(1);
  for (int64_t s = 0; s < num_lifetimes; ++s) {
    for (int64_t t = 0; t < num_steps; ++t) {
      if (t == 0 || start[s * num_steps + t]) places.push_back({s, t, 0});
      longest = std::max(longest, ++places.back().length);
    }
  }
  const auto num_episodes = static_cast<int64_t>(places.size());
  steps = torch::zeros({num_episodes * longest}, torch::kInt64);
  back = torch::empty({num_lifetimes * num_steps}, torch::kInt64);
  padded = torch::ones({num_episodes, 1, 1, longest}, torch::kBool);
  for (int64_t e = 0; e < num_episodes; ++e) {
    for (int64_t i = 0; i < places[e].length; ++i) {
      const int64_t step = places[e].lifetime * num_steps + places[e].first_step + i;
      const int64_t place = e * longest + i;
      steps.mutable_data_ptr<int64_t>()[place] = step;
      back.mutable_data_ptr<int64_t>()[step] = place;
      padded.mutable_data_ptr<bool>()[place] = false;
    }
  }
  steps = steps.to(prev_done.device());
  back = back.to(prev_done.device());
  padded = padded.to(prev_done.device());
}

void ReadHead(const AttentionSizes& sizes, const Tensor& head, AttentionOutputs* outputs) {
  MENTOR_CHECK(head.size(-1) == sizes.outputs());
  outputs->signals = head.select(-1, 0);
  if (sizes.bounded) outputs->signals = outputs->signals.tanh();
  if (!sizes.density) return;
  outputs->log_stds = head.select(-1, 1) + std::log(sizes.initial_std);
  outputs->values = head.select(-1, 2);
}

AttentionOutputs RunAttention(const AttentionSizes& sizes, const std::vector<Tensor>& weights,
                              const Tensor& x, const Episodes& episodes) {
  const int64_t width = sizes.width, heads = sizes.heads, columns = width / heads;
  const auto num_episodes = static_cast<int64_t>(episodes.places.size());
  const auto shape = [&](const Tensor& h) { return h.reshape({x.size(0), x.size(1), -1}); };
  Tensor hidden = episodes.padded;  // [E, 1, L or 1, L]
  if (sizes.past_only) {
    const int64_t longest = episodes.longest;
    hidden = hidden.logical_or(torch::ones({longest, longest}, hidden.options()).triu(1));
  }
  Reader reader(weights);
  // One step in each row: [S T, d].
  Tensor h = reader.Mlp(x.reshape({-1, sizes.inputs}), sizes.encoder_hidden.size() + 1, false);
  AttentionOutputs outputs;
  outputs.embedding = shape(h);
  for (const AttentionSizes::Block& block : sizes.blocks) {
    if (!block.attends) {
      const Tensor y = reader.Mlp(h, block.hidden.size() + 1, true);
      h = sizes.residual_mlp ? reader.LayerNorm(h + y) : y;
      continue;
    }
    // Not a fused kernel, because those have no double backward
    // (methods/meta_gradient/README.md#numerical-traps, 8).
    const Tensor gathered = h.index_select(0, episodes.steps);  // [E L, d]
    const auto heads_of = [&](const Tensor& y) {                // [E heads, L, d / heads]
      return y.reshape({num_episodes, episodes.longest, heads, columns})
          .transpose(1, 2)
          .reshape({num_episodes * heads, episodes.longest, columns});
    };
    const Tensor q = heads_of(reader.Linear(gathered)), k = heads_of(reader.Linear(gathered)),
                 v = heads_of(reader.Linear(gathered));
    const Tensor scores =
        (torch::bmm(q, k.transpose(1, 2)) / std::sqrt(static_cast<double>(columns)))
            .reshape({num_episodes, heads, episodes.longest, episodes.longest})
            .masked_fill(hidden, kNoScore);
    const Tensor map = torch::softmax(scores, -1);
    outputs.maps.push_back(map.detach());
    const Tensor mixed =
        torch::bmm(map.reshape({num_episodes * heads, episodes.longest, episodes.longest}), v)
            .reshape({num_episodes, heads, episodes.longest, columns})
            .transpose(1, 2)
            .reshape({num_episodes * episodes.longest, width})
            .index_select(0, episodes.back);
    h = reader.LayerNorm(h + reader.Linear(mixed));
  }
  outputs.features = shape(h);
  if (sizes.head_hidden) h = reader.Mlp(h, sizes.head_hidden->size() + 1, false);
  MENTOR_CHECK(reader.done());
  ReadHead(sizes, shape(h), &outputs);
  return outputs;
}

}  // namespace mentor::signals
