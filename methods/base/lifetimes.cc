#include "methods/base/lifetimes.h"

namespace mentor::learner {

using torch::Tensor;

SignalState SomeLifetimes(const SignalState& state, int64_t first, int64_t count) {
  SignalState some;
  for (const Tensor& x : state.recurrent) some.recurrent.push_back(x.narrow(0, first, count));
  if (state.previous.defined()) some.previous = state.previous.narrow(0, first, count);
  return some;
}

}  // namespace mentor::learner
