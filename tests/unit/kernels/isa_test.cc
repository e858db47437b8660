// AVX-512 makes AVX2's bits: in products of all shapes, and in everything built on them.
#include "kernels/isa.h"

#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "agents/ppo_kernels.h"
#include "common/rng.h"
#include "kernels/dense.h"
#include "kernels/matrix_kernels.h"
#include "tests/testing.h"

namespace mentor::kernels::TEST_FILE {

// Normals with signed zeros, denormals, an infinity and a NaN among them.
AlignedVector<float> Numbers(uint32_t number, int64_t size) {
  std::vector<double> normals(static_cast<size_t>(size));
  RandomStream{.seed = 11}.Normals(number, normals);
  AlignedVector<float> x(normals.begin(), normals.end());
  for (size_t i = 5; i < x.size(); i += 97) x[i] = i % 2 == 0 ? -0.0f : 1e-41f;
  if (size > 1000) {
    x[500] = std::numeric_limits<float>::infinity();
    x[900] = std::numeric_limits<float>::quiet_NaN();
  }
  return x;
}

// The same numbers, whatever bits a NaN has.
bool Same(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) ? !std::isnan(b[i]) : std::memcmp(&a[i], &b[i], sizeof a[i]) != 0)
      return false;
  }
  return true;
}

std::vector<float> DenseProducts() {
  std::vector<float> all;
  for (const int64_t rows : {1, 5, 11, 12, 13, 15, 24, 49, 97, 200}) {
    for (const int64_t columns : {1, 7, 15, 16, 17, 31, 32, 33, 48, 124}) {
      for (const int64_t inner : {1, 6, 160}) {
        const auto a = Numbers(0, rows * inner), w = Numbers(1, columns * inner),
                   bias = Numbers(2, columns), y = Numbers(3, rows * columns);
        PackedMatrix<float> packed;
        packed.Resize(inner, columns);
        packed.SetTransposed(0, w.data(), inner, columns);
        // One more column shows that nothing beyond the last is written.
        std::vector<float> c(rows * (columns + 1), 7), plain = c, dw(columns * (inner + 1), 3),
                                                       db(columns + 1, 3);
        Multiply(a.data(), inner, rows, packed, bias.data(), c.data(), columns + 1);
        Multiply<float>(a.data(), inner, rows, packed, nullptr, plain.data(), columns + 1);
        WeightGradient<float> gradient;
        gradient.Add(y.data(), columns, columns, a.data(), inner, inner, rows, dw.data(), inner + 1,
                     db.data());
        for (const auto& part : {c, plain, dw, db}) all.insert(all.end(), part.begin(), part.end());
      }
    }
  }
  return all;
}

std::vector<float> MatrixProducts() {
  std::vector<float> all;
  for (const int64_t rows : {1, 11, 12, 13, 25, 125}) {
    for (const int64_t columns : {1, 4, 15, 16, 17, 39, 64}) {
      for (const int64_t inner : {1, 4, 39, 64}) {
        const int64_t stride = (columns + 7) / 8 * 8;
        const auto a = Numbers(0, rows * inner), b = Numbers(1, inner * stride),
                   bias = Numbers(2, stride), h = Numbers(4, rows * stride);
        std::vector<float> c(rows * stride, 7), squashed = c, stored = c, back(h.begin(), h.end()),
                                                along = back;
        const Matrix<const float> left = {a.data(), inner}, columns_of = {a.data(), rows},
                                  right = {b.data(), stride};
        Multiply<Left::kRows, Then::kBias, float>(rows, columns, inner, left, right, bias.data(),
                                                  {c.data(), stride});
        Multiply<Left::kRows, Then::kBiasTanh, float>(rows, columns, inner, left, right,
                                                      bias.data(), {squashed.data(), stride});
        Multiply<Left::kColumns, Then::kStore, float>(rows, columns, inner, columns_of, right,
                                                      nullptr, {stored.data(), stride});
        Multiply<Left::kRows, Then::kTanhGrad, float>(rows, columns, inner, left, right, nullptr,
                                                      {back.data(), stride});
        Multiply<Left::kRows, Then::kBiasTanhGrad, float>(rows, columns, inner, left, right,
                                                          bias.data(), {along.data(), stride});
        for (const auto& part : {c, squashed, stored, back, along})
          all.insert(all.end(), part.begin(), part.end());
      }
    }
  }
  return all;
}

std::vector<float> Gradients() {
  std::vector<float> all;
  for (const agents::KernelSizes& sizes :
       {agents::KernelSizes{39, 4, 64, true}, agents::KernelSizes{11, 3, 20, true},
        agents::KernelSizes{3, 1, 7, false}}) {
    const int64_t d = sizes.observation_size, a = sizes.action_size, h = sizes.hidden_units, t = 70;
    const auto hidden = [&](int64_t out) { return h * d + h + h * h + h + out * h + out; };
    const auto theta = Numbers(0, hidden(a) + a + (sizes.critic ? hidden(1) : 0));
    AlignedVector<float> small = theta;
    for (float& x : small) x = std::isfinite(x) ? 0.2f * x : 0.0f;
    const auto observations = Numbers(1, t * d), actions = Numbers(2, t * a),
               log_probs = Numbers(3, t), advantages = Numbers(4, t), returns = Numbers(5, t),
               values = Numbers(6, t);
    agents::PpoKernels<float> kernels(sizes, {}, t);
    std::vector<int64_t> rows(61);
    std::iota(rows.begin(), rows.end(), 3);
    std::vector<float> gradient(theta.size());
    kernels.LossAndGradient(small.data(),
                            {observations.data(), actions.data(), log_probs.data(),
                             advantages.data(), returns.data(), values.data()},
                            rows, gradient.data());
    all.insert(all.end(), gradient.begin(), gradient.end());
  }
  return all;
}

TEST_CASE("isa: what MENTOR_ISA asks for must be known", "[unit]") {
  const char* before = std::getenv("MENTOR_ISA");
  const std::string kept = before == nullptr ? "" : before;
  for (const char* good : {"", "avx2"}) {
    setenv("MENTOR_ISA", good, /*overwrite=*/1);
    CHECK(CheckIsa().ok());
  }
  for (const char* bad : {"sse", "AVX2", "avx512f"}) {
    setenv("MENTOR_ISA", bad, /*overwrite=*/1);
    CHECK(absl::IsInvalidArgument(CheckIsa()));
  }
  setenv("MENTOR_ISA", kept.c_str(), /*overwrite=*/1);
}

TEST_CASE("isa: AVX-512 makes the bits of AVX2", "[unit]") {
  const Isa before = CurrentIsa();
  REQUIRE(SetIsa(Isa::kAvx2));
  CHECK(CurrentIsa() == Isa::kAvx2);
  const auto products = DenseProducts(), matrices = MatrixProducts(), gradients = Gradients();
  if (SetIsa(Isa::kAvx512)) {
    CHECK(CurrentIsa() == Isa::kAvx512);
    CHECK(Same(DenseProducts(), products));
    CHECK(Same(MatrixProducts(), matrices));
    CHECK(Same(Gradients(), gradients));
  } else {
    WARN("this CPU has no AVX-512");
  }
  SetIsa(before);
}

}  // namespace mentor::kernels::TEST_FILE
