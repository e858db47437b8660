#include "kernels/lstm_weights.h"

#include <algorithm>

#include "common/check.h"

namespace mentor::kernels {

std::vector<std::pair<std::string, std::vector<int64_t>>> LstmSizes::Parameters() const {
  std::vector<std::pair<std::string, std::vector<int64_t>>> parameters;
  const auto trunk = [&](const std::string& prefix) {
    for (const auto& [name, shape] : std::vector<std::pair<const char*, std::vector<int64_t>>>{
             {"enc1.W", {enc1, features}},
             {"enc1.b", {enc1}},
             {"enc2.W", {enc2, code1()}},
             {"enc2.b", {enc2}},
             {"lstm.W_ih", {4 * hidden, code2()}},
             {"lstm.W_hh", {4 * hidden, hidden}},
             {"lstm.b_ih", {4 * hidden}},
             {"lstm.b_hh", {4 * hidden}}})
      parameters.emplace_back(prefix + name, shape);
  };
  trunk("");
  parameters.insert(parameters.end(), {{"mean.W1", {heads, seen()}},
                                       {"mean.b1", {heads}},
                                       {"mean.W2", {heads, heads}},
                                       {"mean.b2", {heads}},
                                       {"mean.W3", {1, heads}},
                                       {"mean.b3", {1}},
                                       {"logstd.W1", {heads, seen()}},
                                       {"logstd.b1", {heads}},
                                       {"logstd.W2", {1, heads}},
                                       {"logstd.b2", {1}},
                                       {"critic.W1", {critic, seen()}},
                                       {"critic.b1", {critic}},
                                       {"critic.W2", {1, critic}},
                                       {"critic.b2", {1}}});
  if (both) trunk("later.");
  return parameters;
}

int64_t LstmSizes::NumWeights() const {
  int64_t total = 0;
  for (const auto& [name, shape] : Parameters()) {
    int64_t size = 1;
    for (const int64_t axis : shape) size *= axis;
    total += size;
  }
  return total;
}

template <typename T>
LstmSlices<T>::LstmSlices(const LstmSizes& sizes, T* flat) {
  T** const slices[] = {&this->enc1_w, &this->enc1_b, &this->enc2_w, &this->enc2_b, &this->w_ih,
                        &this->w_hh,   &this->b_ih,   &this->b_hh,   &mean_w1,      &mean_b1,
                        &mean_w2,      &mean_b2,      &mean_w3,      &mean_b3,      &logstd_w1,
                        &logstd_b1,    &logstd_w2,    &logstd_b2,    &critic_w1,    &critic_b1,
                        &critic_w2,    &critic_b2,    &later.enc1_w, &later.enc1_b, &later.enc2_w,
                        &later.enc2_b, &later.w_ih,   &later.w_hh,   &later.b_ih,   &later.b_hh};
  const auto parameters = sizes.Parameters();
  MENTOR_CHECK(parameters.size() == std::size(slices) - (sizes.both ? 0 : 8));
  for (size_t i = 0; i < parameters.size(); ++i) {
    *slices[i] = flat;
    int64_t size = 1;
    for (int64_t axis : parameters[i].second) size *= axis;
    flat += size;
  }
}

template <typename T>
LstmTrunkWeights<T>::LstmTrunkWeights(const LstmSizes& sizes, const LstmTrunkSlices<const T>& w)
    : sizes(sizes) {
  const int64_t hidden = sizes.hidden;
  enc1.Resize(sizes.features, sizes.enc1);
  enc1.SetTransposed(0, w.enc1_w, sizes.features, sizes.enc1);
  for (int64_t i = 0; i < sizes.enc1; ++i) {
    enc1_previous.push_back(w.enc1_w[i * sizes.features + sizes.features - 1]);
  }
  enc2.Resize(sizes.code1(), sizes.enc2);
  enc2.SetTransposed(0, w.enc2_w, sizes.code1(), sizes.enc2);
  gates.Resize(sizes.joint(), 4 * hidden);
  AlignedVector<T> joint(sizes.joint() * 4 * hidden);  // [W_ih, W_hh]
  for (int64_t i = 0; i < 4 * hidden; ++i) {
    std::copy_n(w.w_ih + i * sizes.code2(), sizes.code2(), joint.data() + i * sizes.joint());
    std::copy_n(w.w_hh + i * hidden, hidden, joint.data() + i * sizes.joint() + sizes.code2());
    gates_b.push_back(w.b_ih[i] + w.b_hh[i]);
  }
  gates.SetTransposed(0, joint.data(), sizes.joint(), 4 * hidden);
  enc1_b.assign(w.enc1_b, w.enc1_b + sizes.enc1);
  enc2_b.assign(w.enc2_b, w.enc2_b + sizes.enc2);
}

template <typename T>
LstmForwardWeights<T>::LstmForwardWeights(const LstmSizes& sizes, const T* flat)
    : LstmForwardWeights(sizes, LstmSlices<const T>(sizes, flat)) {}

template <typename T>
LstmForwardWeights<T>::LstmForwardWeights(const LstmSizes& sizes, const LstmSlices<const T>& w)
    : LstmTrunkWeights<T>(sizes, w) {
  const int64_t seen = sizes.seen(), heads = sizes.heads;
  policy1.Resize(seen, 2 * heads);
  policy1.SetTransposed(0, w.mean_w1, seen, heads);
  policy1.SetTransposed(heads, w.logstd_w1, seen, heads);
  mean2.Resize(heads, heads);
  mean2.SetTransposed(0, w.mean_w2, heads, heads);
  critic1.Resize(seen, sizes.critic);
  critic1.SetTransposed(0, w.critic_w1, seen, sizes.critic);

  policy1_b.assign(w.mean_b1, w.mean_b1 + heads);
  policy1_b.insert(policy1_b.end(), w.logstd_b1, w.logstd_b1 + heads);
  mean2_b.assign(w.mean_b2, w.mean_b2 + heads);
  mean3.assign(w.mean_w3, w.mean_w3 + heads);
  logstd2.assign(w.logstd_w2, w.logstd_w2 + heads);
  critic1_b.assign(w.critic_b1, w.critic_b1 + sizes.critic);
  critic2.assign(w.critic_w2, w.critic_w2 + sizes.critic);
  mean3_b = *w.mean_b3;
  logstd2_b = *w.logstd_b2;
  critic2_b = *w.critic_b2;
  if (sizes.both) later.emplace(sizes, w.later);
}

template <typename T>
LstmTrunkBackwardWeights<T>::LstmTrunkBackwardWeights(const LstmSizes& sizes,
                                                      const LstmTrunkSlices<const T>& w) {
  const int64_t hidden = sizes.hidden;
  enc2.Resize(sizes.enc2, sizes.enc1);
  for (int64_t i = 0; i < sizes.enc2; ++i)
    enc2.SetRow(i, 0, w.enc2_w + i * sizes.code1(), sizes.enc1);
  gates.Resize(4 * hidden, sizes.enc2 + hidden);
  for (int64_t i = 0; i < 4 * hidden; ++i) {
    gates.SetRow(i, 0, w.w_ih + i * sizes.code2(), sizes.enc2);
    gates.SetRow(i, sizes.enc2, w.w_hh + i * hidden, hidden);
  }
}

template <typename T>
LstmBackwardWeights<T>::LstmBackwardWeights(const LstmSizes& sizes, const T* flat)
    : LstmBackwardWeights(sizes, LstmSlices<const T>(sizes, flat)) {}

template <typename T>
LstmBackwardWeights<T>::LstmBackwardWeights(const LstmSizes& sizes, const LstmSlices<const T>& w)
    : LstmTrunkBackwardWeights<T>(sizes, w) {
  const int64_t seen = sizes.seen(), heads = sizes.heads;
  mean2.Resize(heads, heads);
  for (int64_t i = 0; i < heads; ++i) mean2.SetRow(i, 0, w.mean_w2 + i * heads, heads);
  first.Resize(sizes.first(), seen);
  for (int64_t i = 0; i < heads; ++i) {
    first.SetRow(i, 0, w.mean_w1 + i * seen, seen);
    first.SetRow(heads + i, 0, w.logstd_w1 + i * seen, seen);
  }
  for (int64_t i = 0; i < sizes.critic; ++i)
    first.SetRow(2 * heads + i, 0, w.critic_w1 + i * seen, seen);
  if (sizes.both) later.emplace(sizes, w.later);
}

template struct LstmSlices<float>;
template struct LstmSlices<double>;
template struct LstmSlices<const float>;
template struct LstmSlices<const double>;
template struct LstmTrunkWeights<float>;
template struct LstmTrunkWeights<double>;
template struct LstmForwardWeights<float>;
template struct LstmForwardWeights<double>;
template struct LstmTrunkBackwardWeights<float>;
template struct LstmTrunkBackwardWeights<double>;
template struct LstmBackwardWeights<float>;
template struct LstmBackwardWeights<double>;

}  // namespace mentor::kernels
