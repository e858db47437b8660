// The limits of the machine: the multiply-adds a second of one thread, and the matrix products that
// no program can avoid. Functions; threads may call them.
#pragma once

#include <cstdint>
#include <vector>

namespace mentor::bench {

// Floating-point operations a second of one thread that runs only fused multiply-adds of floats in
// registers. It uses the vector instructions in use (isa.h), and a multiply-add counts as two. The
// best of some tries.
double FmaPeak();

// [rows, inner] times [inner, columns], `times` times.
struct Product {
  int64_t rows = 0, inner = 0, columns = 0, times = 1;
};
double FlopOf(const std::vector<Product>& products);

// Forward and backward, with the sizes of ML1 (methods/ppo/README.md#networks,
// methods/black_box/README.md#the-network).

// One optimizer step of one agent, policy and value, on a minibatch of 125.
std::vector<Product> PpoStepProducts();
// The signal network along `steps` of so many lifetimes, without gradients.
std::vector<Product> SignalProducts(int64_t lifetimes, int64_t steps);
// A piece of `steps` of the outer PPO, of all lifetimes at once.
std::vector<Product> OuterPieceProducts(int64_t lifetimes, int64_t steps);

}  // namespace mentor::bench
