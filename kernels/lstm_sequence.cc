#include "kernels/lstm_sequence.h"

#include <torch/csrc/autograd/custom_function.h>

#include "common/check.h"
#include "kernels/lstm_layers.h"

namespace mentor::kernels {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// LibTorch's functions take no undefined tensors, so an empty tensor stands for none.
bool Has(const Tensor& x) {
  return x.numel() > 0;
}
Tensor At(const Tensor& x, int64_t t) {
  return Has(x) ? x[t] : x;
}
// x [N, H] as it enters a step; keep [N, 1] multiplies it. Contiguous.
Tensor Entering(const Tensor& x, const Tensor& keep) {
  return Has(keep) ? x * keep : x;
}

class Sequence : public torch::autograd::Function<Sequence> {
 public:
  // reinstated [t, N, H] and keep [t, N, 1], or none.
  static variable_list forward(AutogradContext* context, const Tensor& gates_x, const Tensor& w_hh,
                               const Tensor& h0, const Tensor& c0, const Tensor& reinstated,
                               const Tensor& keep) {
    const int64_t steps = gates_x.size(0), rows = gates_x.size(1), hidden = w_hh.size(1);
    const int64_t stacked = gates_x.size(2);
    const Tensor gates = gates_x.clone(at::MemoryFormat::Contiguous);  // Activated in place.
    const Tensor h = torch::empty({steps, rows, hidden}, gates.options());
    const Tensor c = torch::empty_like(h), tanh_c = torch::empty_like(h);
    const Tensor w = w_hh.t();
    Tensor h_previous = h0, c_previous = c0.contiguous();
    for (int64_t t = 0; t < steps; ++t) {
      Tensor now = gates[t];
      h_previous = Entering(h_previous, At(keep, t));
      c_previous = Entering(c_previous, At(keep, t));
      now.addmm_(h_previous, w);
      Dispatch(gates, [&](auto zero) {
        using T = decltype(zero);
        for (int64_t n = 0; n < rows; ++n) {
          const int64_t at = n * hidden;
          T* const row = now.mutable_data_ptr<T>() + n * stacked;
          const T* const before = c_previous.const_data_ptr<T>() + at;
          T* const c_t = c[t].mutable_data_ptr<T>() + at;
          T* const tanh_c_t = tanh_c[t].mutable_data_ptr<T>() + at;
          T* const h_t = h[t].mutable_data_ptr<T>() + at;
          if (Has(reinstated)) {
            CellForward<T>(hidden, row, reinstated[t].const_data_ptr<T>() + at, before, c_t,
                           tanh_c_t, h_t);
          } else {
            CellForward<T>(hidden, row, before, c_t, tanh_c_t, h_t);
          }
        }
      });
      h_previous = h[t];
      c_previous = c[t];
    }
    context->save_for_backward({gates, h, c, tanh_c, w_hh, h0, c0.contiguous(), reinstated, keep});
    const Tensor final_c = c[steps - 1].clone();
    Tensor r = torch::empty({0}, gates.options());
    if (Has(reinstated)) r = gates.narrow(2, 4 * hidden, hidden).clone();
    context->mark_non_differentiable({final_c, r});
    return {h, final_c, r};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const Tensor dgates = saved[0].clone();
    const Tensor &h = saved[1], &c = saved[2], &tanh_c = saved[3], &w_hh = saved[4];
    const Tensor &reinstated = saved[7], &keep = saved[8];
    const int64_t steps = h.size(0), rows = h.size(1), hidden = h.size(2);
    const int64_t stacked = dgates.size(2);
    const Tensor dh = grads[0].contiguous();
    Tensor dc = torch::zeros_like(c[0]);
    for (int64_t t = steps; t-- > 0;) {
      Tensor dh_t = dh[t];
      if (t + 1 < steps) {
        dh_t = Has(keep) ? dh_t + keep[t + 1] * dgates[t + 1].mm(w_hh)
                         : torch::addmm(dh_t, dgates[t + 1], w_hh);
      }
      const Tensor c_previous = Entering(t > 0 ? c[t - 1] : saved[6], At(keep, t));
      Dispatch(h, [&](auto zero) {
        using T = decltype(zero);
        for (int64_t n = 0; n < rows; ++n) {
          const int64_t at = n * hidden;
          T* const row = dgates[t].mutable_data_ptr<T>() + n * stacked;
          const T* const before = c_previous.const_data_ptr<T>() + at;
          const T* const tanh_c_t = tanh_c[t].const_data_ptr<T>() + at;
          const T* const by_h = dh_t.const_data_ptr<T>() + at;
          T* const by_c = dc.mutable_data_ptr<T>() + at;
          if (Has(reinstated)) {
            CellBackward<T>(hidden, row, reinstated[t].const_data_ptr<T>() + at, before, tanh_c_t,
                            by_h, by_c);
          } else {
            CellBackward<T>(hidden, row, before, tanh_c_t, by_h, by_c);
          }
        }
      });
      dc = Entering(dc, At(keep, t));
    }
    const Tensor h_previous =
        Entering(torch::cat({saved[5].unsqueeze(0), h.narrow(0, 0, steps - 1)}), keep);
    const Tensor dw =
        dgates.reshape({steps * rows, stacked}).t().mm(h_previous.reshape({steps * rows, hidden}));
    return {dgates, dw, Tensor(), Tensor(), Tensor(), Tensor()};
  }

 private:
  template <typename F>
  static void Dispatch(const Tensor& x, F&& f) {
    if (x.scalar_type() == torch::kFloat64) return f(double{});
    MENTOR_CHECK(x.scalar_type() == torch::kFloat32);
    f(float{});
  }
};

}  // namespace

LstmStates LstmSequence(const Tensor& gates_x, const Tensor& w_hh, const Tensor& h, const Tensor& c,
                        const LstmEpisodes& episodes) {
  MENTOR_CHECK(gates_x.size(0) >= 1 && gates_x.is_cpu());
  const bool fifth = episodes.reinstated.defined();
  MENTOR_CHECK(gates_x.size(2) == (fifth ? 5 : 4) * w_hh.size(1));
  const Tensor none = torch::empty({0}, gates_x.options());
  const variable_list out =
      Sequence::apply(gates_x, w_hh, h, c, fifth ? episodes.reinstated.contiguous() : none,
                      episodes.starts.defined() ? (1 - episodes.starts).unsqueeze(-1) : none);
  return {out[0], out[1], fifth ? out[2] : Tensor()};
}

}  // namespace mentor::kernels
