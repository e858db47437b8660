// What the machine could do at best: the multiply-adds a second of one thread, and those that
// products of matrices cannot do without. Functions; threads may call them.
#pragma once

#include <cstdint>
#include <vector>

namespace mentor::bench {

// Floating-point operations a second of one thread that does nothing but fused multiply-adds of
// floats in registers, by the vector instructions in use (isa.h); a multiply-add counts as two. The
// best of some tries.
double FmaPeak();

// [rows, inner] times [inner, columns], so many times.
struct Product {
  int64_t rows = 0, inner = 0, columns = 0, times = 1;
};
double FlopOf(const std::vector<Product>& products);

// Forward and backward, of the sizes of ML1 (methods/ppo/README.md#networks,
// methods/black_box/README.md#the-network).

// One optimizer step of one agent, policy and value, on a minibatch of 125.
std::vector<Product> PpoStepProducts();
// The signal network along `steps` of so many lifetimes, without gradients.
std::vector<Product> SignalProducts(int64_t lifetimes, int64_t steps);
// A piece of `steps` of the outer PPO, of all lifetimes at once.
std::vector<Product> OuterPieceProducts(int64_t lifetimes, int64_t steps);

}  // namespace mentor::bench
