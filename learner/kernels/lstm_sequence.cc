#include "learner/kernels/lstm_sequence.h"

#include <torch/csrc/autograd/custom_function.h>

#include "common/check.h"
#include "learner/kernels/lstm_layers.h"

namespace mentor::learner {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class Sequence : public torch::autograd::Function<Sequence> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& gates_x, const Tensor& w_hh,
                               const Tensor& h0, const Tensor& c0) {
    const int64_t steps = gates_x.size(0), rows = gates_x.size(1), hidden = w_hh.size(1);
    const Tensor gates = gates_x.clone(at::MemoryFormat::Contiguous);  // Activated in place.
    const Tensor h = torch::empty({steps, rows, hidden}, gates.options());
    const Tensor c = torch::empty_like(h), tanh_c = torch::empty_like(h);
    const Tensor w = w_hh.t();
    Tensor h_previous = h0, c_previous = c0.contiguous();
    for (int64_t t = 0; t < steps; ++t) {
      Tensor now = gates[t];
      now.addmm_(h_previous, w);
      Dispatch(gates, [&](auto zero) {
        using T = decltype(zero);
        for (int64_t n = 0; n < rows; ++n) {
          const int64_t at = n * hidden;
          CellForward<T>(hidden, now.mutable_data_ptr<T>() + 4 * at,
                         c_previous.const_data_ptr<T>() + at, c[t].mutable_data_ptr<T>() + at,
                         tanh_c[t].mutable_data_ptr<T>() + at, h[t].mutable_data_ptr<T>() + at);
        }
      });
      h_previous = h[t];
      c_previous = c[t];
    }
    context->save_for_backward({gates, h, c, tanh_c, w_hh, h0, c0.contiguous()});
    const Tensor final_c = c[steps - 1].clone();
    context->mark_non_differentiable({final_c});
    return {h, final_c};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const Tensor dgates = saved[0].clone();
    const Tensor &h = saved[1], &c = saved[2], &tanh_c = saved[3], &w_hh = saved[4];
    const int64_t steps = h.size(0), rows = h.size(1), hidden = h.size(2);
    const Tensor dh = grads[0].contiguous();
    const Tensor dc = torch::zeros_like(c[0]);
    for (int64_t t = steps; t-- > 0;) {
      const Tensor dh_t = t + 1 < steps ? torch::addmm(dh[t], dgates[t + 1], w_hh) : dh[t];
      const Tensor c_previous = t > 0 ? c[t - 1] : saved[6];
      Dispatch(h, [&](auto zero) {
        using T = decltype(zero);
        for (int64_t n = 0; n < rows; ++n) {
          const int64_t at = n * hidden;
          CellBackward<T>(hidden, dgates[t].mutable_data_ptr<T>() + 4 * at,
                          c_previous.const_data_ptr<T>() + at, tanh_c[t].const_data_ptr<T>() + at,
                          dh_t.const_data_ptr<T>() + at, dc.mutable_data_ptr<T>() + at);
        }
      });
    }
    const Tensor h_previous = torch::cat({saved[5].unsqueeze(0), h.narrow(0, 0, steps - 1)});
    const Tensor dw = dgates.reshape({steps * rows, 4 * hidden})
                          .t()
                          .mm(h_previous.reshape({steps * rows, hidden}));
    return {dgates, dw, Tensor(), Tensor()};
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

LstmStates LstmSequence(const Tensor& gates_x, const Tensor& w_hh, const Tensor& h,
                        const Tensor& c) {
  MENTOR_CHECK(gates_x.size(0) >= 1 && gates_x.is_cpu());
  const variable_list out = Sequence::apply(gates_x, w_hh, h, c);
  return {out[0], out[1]};
}

}  // namespace mentor::learner
