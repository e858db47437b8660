#include "kernels/lstm_weights.h"

#include <algorithm>

#include "common/check.h"

namespace mentor::kernels {

std::vector<std::pair<std::string, std::vector<int64_t>>> LstmSizes::Parameters() const {
  return {{"enc1.W", {enc1, features}},
          {"enc1.b", {enc1}},
          {"enc2.W", {enc2, code1()}},
          {"enc2.b", {enc2}},
          {"lstm.W_ih", {4 * hidden, code2()}},
          {"lstm.W_hh", {4 * hidden, hidden}},
          {"lstm.b_ih", {4 * hidden}},
          {"lstm.b_hh", {4 * hidden}},
          {"mean.W1", {heads, hidden}},
          {"mean.b1", {heads}},
          {"mean.W2", {heads, heads}},
          {"mean.b2", {heads}},
          {"mean.W3", {1, heads}},
          {"mean.b3", {1}},
          {"logstd.W1", {heads, hidden}},
          {"logstd.b1", {heads}},
          {"logstd.W2", {1, heads}},
          {"logstd.b2", {1}},
          {"critic.W1", {critic, hidden}},
          {"critic.b1", {critic}},
          {"critic.W2", {1, critic}},
          {"critic.b2", {1}}};
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
  T** const slices[] = {&enc1_w,    &enc1_b,    &enc2_w,    &enc2_b,    &w_ih,      &w_hh,
                        &b_ih,      &b_hh,      &mean_w1,   &mean_b1,   &mean_w2,   &mean_b2,
                        &mean_w3,   &mean_b3,   &logstd_w1, &logstd_b1, &logstd_w2, &logstd_b2,
                        &critic_w1, &critic_b1, &critic_w2, &critic_b2};
  const auto parameters = sizes.Parameters();
  MENTOR_CHECK(parameters.size() == std::size(slices));
  for (size_t i = 0; i < parameters.size(); ++i) {
    *slices[i] = flat;
    int64_t size = 1;
    for (int64_t axis : parameters[i].second) size *= axis;
    flat += size;
  }
}

template <typename T>
LstmForwardWeights<T>::LstmForwardWeights(const LstmSizes& sizes, const T* flat) : sizes(sizes) {
  const LstmSlices<const T> w(sizes, flat);
  const int64_t hidden = sizes.hidden, heads = sizes.heads;
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
  policy1.Resize(hidden, 2 * heads);
  policy1.SetTransposed(0, w.mean_w1, hidden, heads);
  policy1.SetTransposed(heads, w.logstd_w1, hidden, heads);
  mean2.Resize(heads, heads);
  mean2.SetTransposed(0, w.mean_w2, heads, heads);
  critic1.Resize(hidden, sizes.critic);
  critic1.SetTransposed(0, w.critic_w1, hidden, sizes.critic);

  enc1_b.assign(w.enc1_b, w.enc1_b + sizes.enc1);
  enc2_b.assign(w.enc2_b, w.enc2_b + sizes.enc2);
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
}

template <typename T>
LstmBackwardWeights<T>::LstmBackwardWeights(const LstmSizes& sizes, const T* flat) {
  const LstmSlices<const T> w(sizes, flat);
  const int64_t hidden = sizes.hidden, heads = sizes.heads;
  enc2.Resize(sizes.enc2, sizes.enc1);
  for (int64_t i = 0; i < sizes.enc2; ++i)
    enc2.SetRow(i, 0, w.enc2_w + i * sizes.code1(), sizes.enc1);
  gates.Resize(4 * hidden, sizes.enc2 + hidden);
  for (int64_t i = 0; i < 4 * hidden; ++i) {
    gates.SetRow(i, 0, w.w_ih + i * sizes.code2(), sizes.enc2);
    gates.SetRow(i, sizes.enc2, w.w_hh + i * hidden, hidden);
  }
  mean2.Resize(heads, heads);
  for (int64_t i = 0; i < heads; ++i) mean2.SetRow(i, 0, w.mean_w2 + i * heads, heads);
  first.Resize(sizes.first(), hidden);
  for (int64_t i = 0; i < heads; ++i) {
    first.SetRow(i, 0, w.mean_w1 + i * hidden, hidden);
    first.SetRow(heads + i, 0, w.logstd_w1 + i * hidden, hidden);
  }
  for (int64_t i = 0; i < sizes.critic; ++i)
    first.SetRow(2 * heads + i, 0, w.critic_w1 + i * hidden, hidden);
}

template struct LstmSlices<float>;
template struct LstmSlices<double>;
template struct LstmSlices<const float>;
template struct LstmSlices<const double>;
template struct LstmForwardWeights<float>;
template struct LstmForwardWeights<double>;
template struct LstmBackwardWeights<float>;
template struct LstmBackwardWeights<double>;

}  // namespace mentor::kernels
